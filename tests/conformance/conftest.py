from tests.conformance.places import local_place, minio_place

__all__ = ["local_place", "minio_place"]
