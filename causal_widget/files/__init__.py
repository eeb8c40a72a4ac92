"""Results on disk: JSON and arrays in one safetensors file, written whole or not at all, never pickled."""

from causal_widget.files.codec import Arrays, Codec
from causal_widget.files.record import Record, checksum, read_record, write_record

__all__ = ["Arrays", "Codec", "Record", "checksum", "read_record", "write_record"]
