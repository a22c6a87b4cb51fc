"""The shape of problem files: keys, types, units and defaults (docs/problem-format.md).

These models check each value on its own; what values mean together is checked in
`problems.check_workload` and `problems.check_hardware`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from problems.errors import nearest
from problems.workload import LOOP_DIMS, LayerKind, Operand

MAX_LOOP = 2**24
MAX_BITS = 2**48

Count = Annotated[int, Field(strict=True, ge=1, le=MAX_LOOP)]
Amount = Annotated[int, Field(strict=True, ge=0, le=MAX_LOOP)]
Bits = Annotated[int, Field(strict=True, ge=1, le=MAX_BITS)]
Energy = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Name = Annotated[str, Field(strict=True, min_length=1, pattern=r"^[^\s@]+$")]
Text = Annotated[str, Field(strict=True)]
LoopDim = Literal["B", "K", "C", "G", "OY", "OX", "FY", "FX"]


def fail(message: str) -> PydanticCustomError:
    """Build an error whose text is shown as it is (braces included)."""
    return PydanticCustomError("problem", "{message}", {"message": message})


def refuse_unknown_keys(data: object, allowed: tuple[str, ...]) -> None:
    """Raise if the mapping `data` has a key that is not in `allowed`."""
    if not isinstance(data, dict):
        return
    for key in data:
        if key not in allowed:
            names = ", ".join(allowed)
            raise fail(f"unknown key '{key}'; allowed: {names}{nearest(key, allowed)}")


class Entry(BaseModel):
    """Base of all entries: immutable, and an unknown key names its nearest match."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: object) -> object:
        fields = cls.model_fields.items()
        refuse_unknown_keys(data, tuple(field.alias or name for name, field in fields))
        return data


def _both_axes(data: object) -> object:
    return data if isinstance(data, dict) else {"x": data, "y": data}


def _one_or_more(data: object) -> object:
    return [data] if isinstance(data, str) else data


def _four_sides(data: object) -> object:
    if isinstance(data, dict):
        return data
    return dict.fromkeys(("left", "right", "top", "bottom"), data)


def _read_and_write(data: object) -> object:
    return data if isinstance(data, dict) else {"read": data, "write": data}


def _served(data: object) -> object:
    if isinstance(data, list):
        return data
    if data == "all":
        return None
    raise fail(f"expected 'all' or a list of array dims, not {data!r}")


def _loop_sizes(data: object) -> object:
    refuse_unknown_keys(data, LOOP_DIMS)
    return data


class AxesEntry(Entry):
    """A value for each axis of a feature map; one number stands for both."""

    x: Count = 1
    y: Count = 1


class PaddingEntry(Entry):
    """Rows and columns of zeros around an input; one number stands for all sides."""

    left: Amount = 0
    right: Amount = 0
    top: Amount = 0
    bottom: Amount = 0


class PrecisionEntry(Entry):
    """Bits per element; a layer may restate some of them."""

    partial_bits: Count | None = None
    output_bits: Count | None = None
    weight_bits: Amount | None = None
    input_bits: Count | None = None


class InputEntry(Entry):
    """The network input: elements of `element_bits` bits."""

    name: Name = "input"
    channels: Count
    width: Count
    height: Count
    element_bits: Count = 8


class LayerEntry(Entry):
    """One layer; `from` names its producer, or its producers in operand order."""

    name: Name
    kind: LayerKind
    sources: Annotated[
        tuple[Name, ...], BeforeValidator(_one_or_more), Field(alias="from", min_length=1)
    ]
    loops: Annotated[dict[LoopDim, Count], BeforeValidator(_loop_sizes)]
    stride: Annotated[AxesEntry, BeforeValidator(_both_axes)] = AxesEntry()
    dilation: Annotated[AxesEntry, BeforeValidator(_both_axes)] = AxesEntry()
    padding: Annotated[PaddingEntry, BeforeValidator(_four_sides)] = PaddingEntry()
    precision: PrecisionEntry = PrecisionEntry()
    mismatched_sources: Annotated[bool, Field(strict=True)] = False
    note: Text = ""


class WorkloadEntry(Entry):
    """A network: its input, default precisions and layers."""

    name: Name
    source: Text = ""
    input: InputEntry
    precision: PrecisionEntry = PrecisionEntry()
    layers: Annotated[tuple[LayerEntry, ...], Field(min_length=1)]


class WidthEntry(Entry):
    """Bits, one number for both directions or one for each."""

    read: Bits
    write: Bits


class EnergyEntry(Entry):
    """pJ for one full word (as many bits as a port moves in a cycle)."""

    read: Energy
    write: Energy


class PortsEntry(Entry):
    """Port names of one operand at one memory."""

    read_down: Name
    write_from_above: Name
    write_from_below: Name | None = None
    read_up: Name | None = None


class MemoryEntry(Entry):
    """One memory; memories are listed from the MACs outwards."""

    name: Name
    holds: Annotated[tuple[Operand, ...], Field(min_length=1)]
    size_bits: Bits
    bits_per_cycle: Annotated[WidthEntry, BeforeValidator(_read_and_write)]
    pj_per_word: EnergyEntry
    granule_bits: Annotated[WidthEntry | None, BeforeValidator(_read_and_write)] = None
    ports: Literal["rw", "r+w", "2r+2w"] | None = None
    port_map: dict[Operand, PortsEntry] | None = None
    serves: Annotated[tuple[Name, ...] | None, BeforeValidator(_served)] = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.holds)) < len(self.holds):
            raise fail(f"holds names an operand twice: {', '.join(self.holds)}")
        if self.ports is not None and self.port_map is not None:
            raise fail("give either ports or port_map, not both")
        return self


class UnrollEntry(BaseModel):
    """One loop dim and the factor it is unrolled by, written `K 32`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    loop_dim: LoopDim
    factor: Count


def _unroll_text(data: object) -> object:
    match = re.fullmatch(r"([A-Z]+) ([0-9]{1,9})", data) if isinstance(data, str) else None
    if match is None:
        raise fail(f"expected a loop dim and a factor such as 'K 32', not {data!r}")
    loop_dim, factor = match[1], int(match[2])
    if loop_dim not in LOOP_DIMS:
        raise fail(f"unknown loop dim '{loop_dim}'; allowed: {', '.join(LOOP_DIMS)}")
    return {"loop_dim": loop_dim, "factor": factor}


class SpatialEntry(Entry):
    """Spatial unrolling of the layers that it matches; the first match wins."""

    kinds: tuple[LayerKind, ...] = ()
    workload: Name | None = None
    layers: tuple[Name, ...] = ()
    unroll: dict[Name, Annotated[UnrollEntry, BeforeValidator(_unroll_text)]]


class HardwareEntry(Entry):
    """An accelerator: MAC array, memories innermost first, spatial unrolling."""

    name: Name
    source: Text = ""
    array: Annotated[dict[Name, Count], Field(min_length=1)]
    mac_pj: Energy
    memories: Annotated[tuple[MemoryEntry, ...], Field(min_length=1)]
    spatial: Annotated[tuple[SpatialEntry, ...], Field(min_length=1)]


def _name_or_inline(data: object) -> object:
    if isinstance(data, str | dict):
        return data
    raise fail(f"expected a catalogue name, a path or an inline mapping, not {data!r}")


class ProblemEntry(Entry):
    """A problem file: each part is a catalogue name, a path, or written out inline."""

    name: Name | None = None
    workload: Annotated[Any, BeforeValidator(_name_or_inline)]
    hardware: Annotated[Any, BeforeValidator(_name_or_inline)]
