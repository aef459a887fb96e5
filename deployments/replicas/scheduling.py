"""How a replica's threads share the CPUs with others'."""

import os
import threading


def give_way() -> None:
    """Lets every other thread go before this one. Niceness would not do: Ray starts its workers at 15 of 19 already."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def stand_back() -> None:
    """Lowers the priority of the calling thread below that of the replica's others: by 4, to 19 at most."""
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + 4)
