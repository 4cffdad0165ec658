"""The sandbox PBX tried by itself, without the product."""
