"""Mount points: their order, and which one a path lies in."""

from insula.container.mount_point import MountPoint, in_order, point_for

OUTER, INNER, OTHER = (MountPoint("bind", target) for target in ("/a", "/a/b/c", "/ab"))


def test_what_lies_below_comes_later() -> None:
    assert in_order((INNER, OTHER, OUTER))[-1] == INNER


def test_a_path_lies_in_the_innermost() -> None:
    points = (INNER, OUTER, OTHER)
    assert point_for(points, "/a/b/c/d") == INNER
    assert point_for(points, "/a/b") == OUTER
    assert point_for(points, "/a") == OUTER
    assert point_for(points, "/abc") is None
    assert point_for(points, "/") is None
