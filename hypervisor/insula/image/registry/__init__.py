"""Registries over the OCI distribution protocol: pull, push, log in, look.

origin      which host a name means, how it may be spoken to, which proxy is in front
challenge   what a registry wants to know of us: Basic and Bearer challenges, credentials
client      requests to one registry: authorised, redirected, bounded
patience    how long and how often something is tried
refusal     a registry's refusals, in Docker's words
download    one blob into the store, resumed and verified as it arrives; one for all who ask
pull, push  images, layer by layer, told as lines of progress
registries  what the API asks
"""
