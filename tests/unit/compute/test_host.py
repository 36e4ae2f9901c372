"""What a process knows of its machine; the system's files are made by hand."""

import os
import subprocess
import sys

import pytest

from mt.compute import host
from mt.compute.host import (
    KERNELS,
    ProcessorMeter,
    ProcessorTime,
    before_torch,
    choose_waiting,
    free_memory,
    processors,
)

LOADING = "import mt\ntry: mt.load('no such model')\nexcept mt.errors.MtError: pass"
SHOWN = f"import os, sys\nprint({{n: os.environ.get(n) for n in {[*KERNELS]}}}, file=sys.stderr)"
VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def clean(**more: str) -> dict[str, str]:
    return {**{k: v for k, v in os.environ.items() if k not in VARIABLES}, **more}


def seen_by_openmp(code: str, env: dict[str, str]) -> str:
    """What OpenMP says, when torch loads it, of how its threads wait."""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**env, "OMP_DISPLAY_ENV": "verbose"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("entry", ["from mt.cli.main import main; main(['doctor', '--json'])", LOADING])
def test_all_is_chosen_before_torch_loads_openmp_and_computes(entry):
    unset = {name: value for name, value in clean().items() if name not in KERNELS}
    said = seen_by_openmp(f"{entry}\n{SHOWN}", unset)
    assert said.rstrip().endswith(str(KERNELS))
    if sys.platform == "linux":  # GNU's OpenMP comes with torch
        assert f"GOMP_SPINCOUNT = '{host.WAITING['GOMP_SPINCOUNT']}'" in said


class TestWaiting:
    @pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP comes with torch on Linux")
    def test_the_users_choice_is_kept(self):
        code = "from mt.compute.host import choose_waiting; choose_waiting(); import torch"
        assert "GOMP_SPINCOUNT = '77'" in seen_by_openmp(code, clean(GOMP_SPINCOUNT="77"))
        passive = seen_by_openmp(code, clean(OMP_WAIT_POLICY="passive"))
        assert "OMP_WAIT_POLICY = 'PASSIVE'" in passive and "GOMP_SPINCOUNT = '0'" in passive

    @pytest.mark.parametrize("chosen", VARIABLES)
    def test_one_variable_of_the_user_prevents_all_changes(self, monkeypatch, chosen):
        monkeypatch.setattr(os, "environ", {chosen: "77"})
        monkeypatch.delitem(sys.modules, "torch", raising=False)
        choose_waiting()
        assert os.environ == {chosen: "77"}

    def test_after_the_import_of_torch_nothing_is_set(self, monkeypatch):
        monkeypatch.setattr(os, "environ", {})
        monkeypatch.setitem(sys.modules, "torch", sys)
        choose_waiting()
        assert not os.environ


class TestKernels:
    @pytest.mark.parametrize("imported", [False, True])
    def test_few_are_kept_also_where_torch_is_imported_already(self, monkeypatch, imported):
        monkeypatch.setattr(os, "environ", {})
        if imported:
            monkeypatch.setitem(sys.modules, "torch", sys)
        else:
            monkeypatch.delitem(sys.modules, "torch", raising=False)
        before_torch()
        assert os.environ == {**({} if imported else host.WAITING), **KERNELS}

    @pytest.mark.parametrize("chosen", KERNELS)
    def test_the_users_choice_is_kept(self, monkeypatch, chosen):
        monkeypatch.setattr(os, "environ", {chosen: "7"})
        before_torch()
        assert os.environ[chosen] == "7" and KERNELS.keys() <= os.environ.keys()


def system(root, group: str, **files: str):
    """Files of a system. Args: group: the control groups of this process."""
    files = {
        "proc/self/cgroup": group,
        **{name.replace("__", "/").replace("_DOT_", "."): t for name, t in files.items()},
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


class TestProcessors:
    @pytest.fixture(autouse=True)
    def eight(self, monkeypatch):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)

    @pytest.mark.parametrize(
        ("quota", "wanted"),
        [
            ("max 100000", 8),
            ("150000 100000", 2),
            ("50000 100000", 1),
            ("400000 100000", 4),
            ("1600000 100000", 8),
            ("", 8),
        ],
    )
    def test_the_quota_of_a_container_counts(self, tmp_path, quota, wanted):
        root = system(tmp_path, "0::/\n", sys__fs__cgroup__cpu_DOT_max=quota)
        assert processors(root) == wanted

    def test_the_name_of_a_group_need_not_be_utf8(self, tmp_path):
        root = system(tmp_path, "", sys__fs__cgroup__cpu_DOT_max="200000 100000")
        (root / "proc/self/cgroup").write_bytes(b"0::/\xff\n")
        assert processors(root) == 2

    def test_the_smallest_quota_on_the_way_up_counts(self, tmp_path):
        root = system(
            tmp_path, "0::/a/b\n",
            sys__fs__cgroup__a__cpu_DOT_max="200000 100000", sys__fs__cgroup__a__b__cpu_DOT_max="300000 100000",
        )  # fmt: skip
        assert processors(root) == 2

    def test_version_1(self, tmp_path):
        files = {
            "sys__fs__cgroup__cpu__cpu_DOT_cfs_quota_us": "250000\n",
            "sys__fs__cgroup__cpu__cpu_DOT_cfs_period_us": "100000\n",
        }
        assert processors(system(tmp_path, "4:memory:/x\n3:cpu,cpuacct:/docker/abc\n", **files)) == 3

    def test_version_1_without_a_quota(self, tmp_path):
        files = {
            "sys__fs__cgroup__cpu__cpu_DOT_cfs_quota_us": "-1\n",
            "sys__fs__cgroup__cpu__cpu_DOT_cfs_period_us": "100000\n",
        }
        assert processors(system(tmp_path, "3:cpu:/\n", **files)) == 8

    def test_without_control_groups_or_affinity_the_count_stands(self, tmp_path, monkeypatch):
        assert processors(tmp_path) == 8
        monkeypatch.delattr(os, "sched_getaffinity")  # macOS and Windows have none
        monkeypatch.setattr(os, "cpu_count", lambda: 5)
        assert processors(tmp_path) == 5


class TestMemory:
    MEMINFO = "MemTotal: 8000 kB\nMemAvailable:    4000 kB\n"

    def test_what_the_system_has_counts_where_a_container_has_more(self, tmp_path):
        root = system(tmp_path, "0::/a\n", proc__meminfo=self.MEMINFO, sys__fs__cgroup__a__memory_DOT_max="max\n")
        assert free_memory(root) == 4_096_000
        (root / "sys/fs/cgroup/a/memory.current").write_text("1000\n")
        (root / "sys/fs/cgroup/a/memory.max").write_text("9000000\n")
        assert free_memory(root) == 4_096_000

    @pytest.mark.parametrize(("used", "left"), [(700_000, 350_000), (1_200_000, 0)])
    def test_the_limit_of_a_container_counts_without_files_that_were_read_once(self, tmp_path, used, left):
        root = system(
            tmp_path, "0::/a/b\n", proc__meminfo=self.MEMINFO, sys__fs__cgroup__a__memory_DOT_max="1000000\n",
            sys__fs__cgroup__a__memory_DOT_current=f"{used}\n",
            sys__fs__cgroup__a__memory_DOT_stat="anon 9\ninactive_file 50000\nactive_file 7\n",
        )  # fmt: skip
        assert free_memory(root) == left

    def test_version_1(self, tmp_path):
        files = {
            "sys__fs__cgroup__memory__x__memory_DOT_limit_in_bytes": "3000000\n",
            "sys__fs__cgroup__memory__x__memory_DOT_usage_in_bytes": "1000000\n",
            "sys__fs__cgroup__memory__memory_DOT_limit_in_bytes": "9223372036854771712\n",
            "sys__fs__cgroup__memory__memory_DOT_usage_in_bytes": "1000000\n",
        }
        assert free_memory(system(tmp_path, "4:memory:/x\n", proc__meminfo=self.MEMINFO, **files)) == 2_000_000

    def test_a_system_that_says_nothing(self, tmp_path):
        assert free_memory(tmp_path) is None


class TestProcessorTime:
    def test_contended_if_a_quarter_of_the_time_was_spent_waiting(self):
        assert ProcessorTime(wall=10, used=10, waited=5.7).contended
        assert not ProcessorTime(wall=10, used=16.5, waited=0.3).contended
        assert not ProcessorTime(wall=10, used=0, waited=0).contended

    def test_a_quiet_machine_saves_the_waits_but_not_the_work(self):
        assert ProcessorTime(wall=10, used=8, waited=4).quiet(2) == 6
        assert ProcessorTime(wall=10, used=10, waited=6).quiet(2) == 5
        assert ProcessorTime(wall=10, used=10, waited=0).quiet(1) == 10


class TestMeter:
    def write(self, tasks, **waits: str):
        for name, text in waits.items():
            (tasks / name[1:]).mkdir(exist_ok=True)
            (tasks / name[1:] / "schedstat").write_text(text)

    def test_the_meter_sums_the_waits_of_all_threads(self, tmp_path):
        self.write(tmp_path, t1="5 1000000000 9\n", t2="5 500000000 9\n")
        meter = ProcessorMeter(tmp_path)
        self.write(tmp_path, t1="5 3000000000 9\n", t3="5 250000000 9\n")
        assert meter.read().waited == pytest.approx(2.25)

    def test_the_waits_of_ended_threads_count(self, tmp_path):
        self.write(tmp_path, t1="5 1000000000 9\n", t2="5 0 9\n")
        meter = ProcessorMeter(tmp_path)
        self.write(tmp_path, t2="5 1000000000 9\n")
        assert meter.read().waited == pytest.approx(1)
        (tmp_path / "2" / "schedstat").unlink()
        assert meter.read().waited == pytest.approx(1)

    def test_without_the_systems_files_there_is_no_measurement(self, tmp_path):
        assert ProcessorMeter(tmp_path / "missing").read() is None

    @pytest.mark.skipif(sys.platform != "linux", reason="Linux counts how long threads wait")
    def test_this_process_uses_the_time_that_it_uses(self):
        meter = ProcessorMeter()
        sum(range(10**6))
        found = meter.read()
        assert found.used > 0 and found.wall > 0 and found.waited >= 0
