"""A long random schedule for readers: messages, blocked steps and jobs, sources that come and go."""

import random
import threading

from tests.helpers import eventually, seconds
from tests.ws.sources import FakeSource, PairSource


class Model:
    """A source whose steps and jobs check the promises of `Readers`, and note what happens."""

    def __init__(self, world, number):
        self.world = world
        self.stepping, self.working = threading.Lock(), threading.Lock()
        self.expected = 0
        self.submitted = 0
        self.ran = []
        self.after_finish = []
        self.finished = 0
        self.source = self.world.kinds[number % 2](f"CP_{number}")
        self.inbox = 0
        if isinstance(self.source, PairSource):
            self.source.on_data = lambda source, data: self.arrived(len(data))
        self.plain = self.source.step
        self.source.step = self.step
        self.source.on_finish = self.on_finish

    def behind(self):
        """How many jobs are to be run, and not begun."""
        return self.expected - len(self.ran)

    def arrive(self, count):
        self.expected += count
        if isinstance(self.source, PairSource):
            self.source.far.send(b"x" * count)
        else:
            with self.world.lock:
                self.inbox += count
            self.source.notify()

    def arrived(self, count):
        for _ in range(count):
            number, self.submitted = self.submitted, self.submitted + 1
            self.world.readers.submit(self.source, lambda number=number: self.job(number))

    def step(self, block):
        self.world.check(self.stepping.acquire(blocking=False), "two steps at once")
        self.world.check(not self.finished, "a step after the finish")
        try:
            if self.world.random_of_jobs() < 0.02:
                self.world.block()
            more = self.plain(block)
            if not isinstance(self.source, PairSource):
                with self.world.lock:
                    count, self.inbox = self.inbox, 0
                self.arrived(count)
            return more
        finally:
            self.stepping.release()

    def job(self, number):
        self.world.check(self.working.acquire(blocking=False), "two jobs at once")
        self.world.check(not self.after_finish, "a job after those of the finish")
        self.ran.append(number)
        try:
            kind = self.world.random_of_jobs()
            if kind < 0.05:
                with self.world.readers.waiting():
                    self.world.block()
            elif kind < 0.1:
                self.world.block()
        finally:
            self.working.release()

    def on_finish(self):
        self.world.check(self.stepping.acquire(blocking=False), "a finish during a step")
        self.finished += 1
        self.world.readers.submit(self.source, lambda: self.after_finish.append(len(self.ran)))
        self.stepping.release()

    def close(self):
        if isinstance(self.source, PairSource):
            self.source.close()
        else:
            self.source.end.set()


class World:
    """Plays with twenty sources at a time, of either of the ``kinds``: without a descriptor, and with one."""

    def __init__(self, seed, readers, kinds=(FakeSource, PairSource)):
        self.kinds = kinds
        self.random = random.Random(seed)
        self.jobs_random = random.Random(seed + 1)
        self.readers = readers
        self.lock = threading.Lock()
        self.faults = []
        self.gates = []

    def check(self, right, fault):
        if not right:
            self.faults.append(fault)

    def random_of_jobs(self):
        with self.lock:
            return self.jobs_random.random()

    def block(self):
        gate = threading.Event()
        with self.lock:
            self.gates.append(gate)
        self.check(gate.wait(seconds(30)), "a job was not let go")

    def open_gates(self, most):
        with self.lock:
            opened, self.gates = self.gates[:most], self.gates[most:]
        for gate in opened:
            gate.set()

    def play(self, steps):
        models = [Model(self, number) for number in range(20)]
        living = list(models)
        for model in models:
            self.readers.add(model.source)
        for _ in range(steps):
            if sum(model.behind() for model in living) > 200:
                eventually(lambda: (self.open_gates(5), sum(model.behind() for model in living) < 100)[1])
            dice, model = self.random.random(), self.random.choice(living)
            if dice < 0.80:
                model.arrive(self.random.choice((1, 1, 1, 2, 5)))
            elif dice < 0.95 or len(self.gates) > 40:
                self.open_gates(self.random.randint(1, 20))
            elif dice < 0.96:
                self.readers.wake(model.source)
            elif dice < 0.98:
                self.readers.flush(model.source)
            else:
                living.remove(model)
                model.close()
                models.append(Model(self, len(models)))
                living.append(models[-1])
                self.readers.add(models[-1].source)
        return models

    def end(self, models, abrupt):
        """Close all and stop the readers, when all is done or at once; check what was to be kept."""
        for model in models:
            model.close()
        if not abrupt:  # whatever was read is done before the stop

            def over():
                self.open_gates(1000)
                return all(model.after_finish for model in models)

            eventually(over, 30)
        stopped = threading.Event()
        opener = threading.Thread(target=lambda: eventually(lambda: (self.open_gates(1000), stopped.is_set())[1], 30))
        opener.start()
        assert self.readers.stop(seconds(20))
        stopped.set()
        opener.join(seconds(10))
        assert self.faults == []
        for model in models:
            assert model.finished == 1
            assert model.ran == sorted(set(model.ran))
            assert model.after_finish == [len(model.ran)]
            if not abrupt:
                assert model.ran == list(range(model.submitted))
