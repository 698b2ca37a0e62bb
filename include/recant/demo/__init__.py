"""The main job as a story: ingest, poison, blast radius, approved rollback, proof. `python -m recant.demo` tells it."""
