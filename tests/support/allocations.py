"""What an allocator really hands out."""

from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile


def allocated_bytes(work: Callable[[], object]) -> int:
    """The most that the CPU's allocator has out at a time during the work, beyond what was there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    events = [each for each in profiled.profiler.kineto_results.events() if each.name() == "[memory]"]  # type: ignore
    now = most = 0
    for event in sorted(events, key=lambda each: each.start_ns()):
        now += event.nbytes()  # pyright: ignore[reportAttributeAccessIssue]
        most = max(most, now)
    return most
