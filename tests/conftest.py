"""What all tests share: nothing passes or fails by the clock, so hypothesis has no deadline for an example."""

import hypothesis

hypothesis.settings.register_profile("insula", deadline=None)
hypothesis.settings.load_profile("insula")
