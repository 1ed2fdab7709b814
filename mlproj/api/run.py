"""A run from its request to its final record: the straight line that every run goes, walked once."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from mlproj import environments
from mlproj.api import recording
from mlproj.api.ahead import client_of
from mlproj.api.beginning import KeptSource, begin_run, facts_of, keep_source, reused
from mlproj.api.decisive import decisive, with_decisive
from mlproj.api.environment_choice import python_notice
from mlproj.api.inputs import inputs_of
from mlproj.api.interruption import Interrupted, interruptible
from mlproj.api.meanwhile import look_again
from mlproj.api.output_metrics import OutputReading
from mlproj.api.outputs import keep_outputs, outputs_before
from mlproj.api.projects import release
from mlproj.api.request import Listener, RunRequest
from mlproj.api.resolution import Resolved, resolve_request
from mlproj.api.secret_names import without_secret_names
from mlproj.api.stores import RUN_ID_VARIABLE
from mlproj.api.tracking import (
    Tracking,
    begin_tracking,
    close_to_clients,
    end_tracking,
    joining_variables,
    leave,
    meet_server,
    notices_of,
    open_to_clients,
    server_uri,
)
from mlproj.api.variables import as_recorded, command_variables, deciding, with_defaults
from mlproj.environments.environment import Environment
from mlproj.errors import MlprojError, StoreError
from mlproj.execution.masking import mask_text
from mlproj.execution.plan import Outcome, Plan, Usage
from mlproj.execution.sampling import Sampling, begin_sampling, end_sampling
from mlproj.execution.supervise import Observers, Standby, stand_down, start_ahead, supervise
from mlproj.files import dump_json, write_atomically
from mlproj.locks import HeldLock
from mlproj.parameters.config import summary
from mlproj.runs.artifacts import Signature
from mlproj.runs.intake import Intake, open_intake
from mlproj.runs.record import RunRecord
from mlproj.runs.result_key import result_key
from mlproj.runs.store import LiveRun, finish, load, save
from mlproj.runs.totals import with_totals
from mlproj.sources.git.working_tree import CommitFacts
from mlproj.text import one_line
from mlproj.tracking.gateway.listener import JoinedRun
from mlproj.tracking.other_trackers import tracker_variables
from mlproj.tracking.remote.address import credentials_of

if TYPE_CHECKING:
    from mlproj.api.hermetic import Seal

_STOPPED_BY_A_STEP = (
    "its command ran under `bash -e -o pipefail`, where a step that fails ends it (141: what it was piped to had ended)"
)


def execute(request: RunRequest, listener: Listener, standby: Standby) -> RunRecord:
    """Run what is asked for and give its final record, whether it finished, failed or was killed.

    The standby is used up: by the command, or, when it comes to none, by being stood down.

    Raises ``MlprojError`` when it could not get as far as running the command; from the moment that the store
    knows of the run, its record tells of that as well.
    """
    with interruptible():
        try:
            resolved = resolve_request(request, listener)
            uri = server_uri(request, resolved)
            if uri is not None:
                resolved = replace(resolved, secrets=(*resolved.secrets, *credentials_of(uri, os.environ)))
        except BaseException:
            stand_down(standby)
            raise
        try:
            try:
                for notice in (*resolved.notices, *notices_of(request, resolved)):
                    listener.notice(notice)
                listener.project(resolved.project_name, resolved.entry_point_name, resolved.secrets)
                facts = facts_of(resolved)
                if request.reuse and (found := reused(request, resolved, facts, listener)) is not None:
                    stand_down(standby)
                    return found
                if resolved.environment.docker is not None and not standby.begun:
                    start_ahead(standby, client_of(standby, resolved.grace_s))
                live, record, kept = begin_run(request, resolved, facts, listener)
            except BaseException:
                stand_down(standby)
                raise
            return _Walk(request, resolved, listener, live, record, uri, facts).to_the_end(standby, kept)
        finally:
            release(resolved.snapshot)
            if request.keep_tree and resolved.snapshot.tree is not None:
                listener.notice(f"the project's tree is kept in {one_line(resolved.snapshot.tree.folder)}")


class _Walk:
    """A run that the store knows of, on its way through environment, command and outputs to its final record."""

    def __init__(
        self,
        request: RunRequest,
        resolved: Resolved,
        listener: Listener,
        live: LiveRun,
        record: RunRecord,
        uri: str | None,
        facts: CommitFacts,
    ) -> None:
        self.request = request
        self.resolved = resolved
        self.listener = listener
        self.live = live
        self.record = record
        self.begun = time.monotonic()
        self.intake: Intake | None = None
        self.uri = uri
        self.facts = facts
        self.tracking = Tracking(live)
        self.held: HeldLock | None = None
        self.sampling: Sampling | None = None
        self.before: dict[str, Signature] = {}
        self.seal: Seal | None = None

    def to_the_end(self, standby: Standby, kept: KeptSource) -> RunRecord:
        """Go the whole way; whatever happens on it, the run is closed."""
        outcome: Outcome
        waiting: Standby | None = standby
        try:
            keep_source(kept, self.live.files)
            self.tracking = begin_tracking(self.uri, self.request, self.resolved, self.live, self.record, self.listener)
            environment = self._environment()
            self.record = replace(self.record, inputs=inputs_of(self.resolved))
            self._seal(environment)
            self.before = outputs_before(self.resolved, self.live)
            self._open_tracking(environment)
            plan = self._plan(environment, standby)
            self.record = with_decisive(self.record, self._decisive(environment))
            self._save()
            self.listener.starting(
                self._mask(f"{self.resolved.entry_point_name}: {summary(self.resolved.config)}".rstrip(": "))
            )
            waiting = None
            outcome = self._command(standby, plan)
        except MlprojError as error:
            self._close(
                Outcome("failed", error.exit_status, self._usage(), mask_text(str(error), self.resolved.secrets))
            )
            raise
        except OSError as error:
            reason = f"the run could not be prepared: {error.strerror or error}: {one_line(error.filename or '')}"
            self._close(Outcome("failed", StoreError.exit_status, self._usage(), reason))
            raise StoreError(reason) from None
        except Interrupted as interrupted:
            name = signal.Signals(interrupted.number).name
            reason, number = f"by {name}, before it ran", interrupted.number
            return self._stopped(Outcome("killed", 128 + number, self._usage(), reason, signal=number))
        except BaseException as error:
            # A report of this bug must not hold what the run's records must not hold either.
            error.__dict__["mlproj_secrets"] = self.resolved.secrets
            self._close(Outcome("failed", 125, self._usage(), f"mlproj itself failed: {type(error).__name__}"))
            raise
        finally:
            if waiting is not None:
                stand_down(waiting)
            if self.seal is not None:
                self.seal.held.close()
            close_to_clients(self.tracking)
            if self.held is not None:
                self.held.release()
        if outcome.status == "failed" and self.resolved.entry_point.dialect == "mlflow" and self.record.command.shell:
            self.record = replace(self.record, notices=[*self.record.notices, _STOPPED_BY_A_STEP])
        return self._stopped(self._with_outputs(outcome, environment))

    def _stopped(self, outcome: Outcome) -> RunRecord:
        """Close the run. Who stops a reproduction is not told that it came out differently: raises ``Interrupted``."""
        closed = self._close(outcome)
        if outcome.signal is not None and self.request.again is not None:
            raise Interrupted(outcome.signal)
        return closed

    def _usage(self) -> Usage:
        return Usage(time.monotonic() - self.begun)

    def _environment(self) -> Environment:
        environment = environments.prepare(
            self.resolved.environment,
            self.resolved.environment_name,
            self.resolved.loaded.folder,
            self.resolved.policy,
            self.listener.progress,
        )
        self.held = environment.held
        if notice := python_notice(self.resolved.environment, environment.python):
            self.listener.notice(notice)
            self.record = replace(self.record, notices=[*self.record.notices, notice])
        if environment.lock_text is not None and environment.lock_name is not None:
            write_atomically(self.live.files.folder / environment.lock_name, environment.lock_text)
        self.record = recording.with_environment(self.record, environment)
        return environment

    def _decisive(self, environment: Environment) -> dict[str, str]:
        return decisive(
            self.resolved, environment, self._caller({} if environment.container is not None else os.environ)
        )

    def _seal(self, environment: Environment) -> None:
        if not self.resolved.hermetic:
            return
        from mlproj.api.hermetic import notice_of, open_seal

        self.seal = open_seal(environment.container is not None)
        if notice := notice_of(self.seal):
            self.listener.notice(notice)
            self.record = replace(self.record, notices=[*self.record.notices, notice])

    def _open_tracking(self, environment: Environment) -> None:
        """Begin to take in what the command will log, from the run's file and from MLflow clients."""
        mask = self._mask if self.resolved.secrets else None
        self.intake = open_intake(self.live.store, self.live.id, self.live.files.metrics, mask)
        waited = time.monotonic()
        self.record = meet_server(self.tracking, self.record, self.listener)
        # The time of a server is none of the run's.
        self.begun += time.monotonic() - waited
        container = environment.container
        if container is not None and container.reach is None:
            return
        reach = None if container is None or container.reach is None else container.reach.address
        caller = os.environ if container is None else container.variables
        variables = command_variables(self._caller(caller), environment, self.resolved)
        joined_run = JoinedRun(self.live, self.record, self.intake, mask, self._keeps_experiment)
        self.tracking.cut_off = self.seal is not None and self.seal.reason is None
        open_to_clients(self.tracking, joined_run, variables, reach, self.listener)

    @property
    def _keeps_experiment(self) -> bool:
        """Whether who started the run chose its experiment, and its script has no say in it."""
        return self.request.experiment is not None

    def _leave_tracking(self) -> None:
        self.record = leave(self.tracking, self.record, keeps_experiment=self._keeps_experiment)

    def _plan(self, environment: Environment, standby: Standby) -> Plan:
        resolved = self.resolved
        parameters = self.live.files.folder / "params.json"
        # Credentials that a URL carries are in the command alone: this file stays with the run.
        write_atomically(parameters, mask_text(dump_json(resolved.config.values), resolved.secrets))
        plan = Plan(
            resolved.command.argv,
            resolved.loaded.folder,
            {},
            resolved.grace_s,
            resolved.timeout_s,
            resolved.secrets,
        )
        if environment.container is not None:
            from mlproj.execution.container import inside_variables, within

            inside = self._with_defaults(command_variables(self._caller({}), environment, resolved))
            inside |= inside_variables(self.live.files.folder, RUN_ID_VARIABLE, self.live.id)
            inside |= tracker_variables(inside, self.live.id, self.record.name, inside["MLPROJ_ARTIFACTS"])
            if environment.container.reach is not None:
                inside = joining_variables(self.tracking, inside, self.record, environment.container.reach.name)
            plan, client = replace(plan, variables=inside), client_of(standby, resolved.grace_s)
            return within(plan, client, environment.container, self.live.id, self.live.files.folder, resolved.needed)
        variables = self._with_defaults(command_variables(self._caller(os.environ), environment, resolved))
        variables |= {
            RUN_ID_VARIABLE: self.live.id,
            "MLPROJ_PARAMS": str(parameters),
            "MLPROJ_METRICS": str(self.live.files.metrics),
            "MLPROJ_ARTIFACTS": str(self.live.files.artifacts),
        }
        variables |= tracker_variables(variables, self.live.id, self.record.name, variables["MLPROJ_ARTIFACTS"])
        plan = replace(plan, variables=joining_variables(self.tracking, variables, self.record))
        if self.seal is None:
            return plan
        from mlproj.api.hermetic import sealed_plan

        port = None if self.tracking.gateway is None else self.tracking.gateway.port
        return sealed_plan(plan, self.seal, resolved, environment, self.live.files, port)

    def _caller(self, variables: Mapping[str, str]) -> Mapping[str, str]:
        """The caller's variables: as they are, or as the run had them that this one is to be the same as."""
        if self.seal is not None:
            from mlproj.api.hermetic import hermetic_variables

            variables = hermetic_variables(variables, self.resolved, self.seal) if variables else {}
        again = self.request.again
        if again is None or again.variables is None:
            return variables
        return as_recorded(variables, again.variables, self.resolved)

    def _with_defaults(self, variables: Mapping[str, str]) -> dict[str, str]:
        """A command's variables with those that make it repeatable; the record is told of all that decide."""
        complete = with_defaults(variables, self.facts.committed_at)
        self.record = replace(self.record, variables=deciding(complete, self.resolved))
        return complete

    def _save(self) -> None:
        """Write down all that is known before the command starts; from here on the run has its key."""
        self.record = replace(self.record, result_key=result_key(self.record))
        self.record = recording.masked(self.record, self.resolved.secrets)
        save(self.live, self.record)

    def _command(self, standby: Standby, plan: Plan) -> Outcome:
        assert self.intake is not None
        intake, guardian = self.intake, standby.guardian.process.pid
        reading = OutputReading(self.resolved.entry_point, self.live.files.metrics)
        log = self.live.files.log.open("ab")

        def tick() -> None:
            intake.poll()
            if self.sampling is None:
                self.sampling = begin_sampling(guardian, self.live.files.samples)

        try:
            outcome = supervise(standby, plan, Observers(log, reading.observe, tick))
        finally:
            if self.sampling is not None:
                end_sampling(self.sampling)
            with contextlib.suppress(OSError):  # what a full disk still holds back was told of when it filled up
                log.close()
            self.record = replace(self.record, notices=[*self.record.notices, *reading.close()])
        self._leave_tracking()
        if outcome.reason is not None and "guardian" in outcome.reason:
            from mlproj.processes.strays import end_strays

            end_strays(RUN_ID_VARIABLE, [self.live.id])
        if (docker := self.resolved.environment.docker) is not None:
            from mlproj.execution.container import explained

            outcome = explained(outcome, self.live.id, self.live.files.folder, docker.memory)
        return outcome

    def _mask(self, text: str) -> str:
        return mask_text(text, self.resolved.secrets)

    def _with_outputs(self, outcome: Outcome, environment: Environment) -> Outcome:
        """Keep the outputs, read the metrics among them; a missing output fails a run that finished."""
        problems: list[str] = []
        try:
            if outcome.status == "finished":
                self._look_again(environment)
            kept = keep_outputs(self.resolved, self.live, self.before)
            if self.resolved.secrets:
                kept = without_secret_names(kept, self.live.files.artifacts, self.resolved.secrets)
            self.record = replace(self.record, outputs=kept.outputs, notices=[*self.record.notices, *kept.notes])
            problems = kept.problems
        except (OSError, StoreError) as error:
            problems = [f"the outputs could not be kept: {one_line(error)}"]
        except Interrupted as interrupted:
            name = signal.Signals(interrupted.number).name
            reason = f"by {name}, while its outputs were being kept"
            number = interrupted.number
            return replace(outcome, status="killed", exit_status=128 + number, reason=reason, signal=number)
        if problems and outcome.status == "finished":
            return replace(outcome, status="failed", exit_status=1, reason="; ".join(problems))
        return outcome

    def _look_again(self, environment: Environment) -> None:
        decided_by = None
        with contextlib.suppress(OSError):
            decided_by = self._decisive(environment)
        self.record = look_again(self.request, self.resolved, self.record, decided_by)
        if (changed := self.record.source.changed) and self.request.reuse:
            self.listener.notice(f"changed while it ran: {', '.join(map(one_line, changed[:3]))}")

    def _close(self, outcome: Outcome) -> RunRecord:
        """Write the final record and let go of the run."""
        record = recording.with_outcome(self.record, outcome, time.monotonic() - self.begun)
        if self.intake is not None:
            record = with_totals(record, self.intake.close())
        recording.mask_file(self.live.files.metrics, self.resolved.secrets)
        record = recording.masked(record, self.resolved.secrets)
        try:
            finish(self.live, record)
        except StoreError as error:
            notice = f"the final record could not be written: {error}"
            self.listener.notice(notice)
            return replace(record, notices=[*record.notices, notice])
        if self.tracking.mirror is None:
            return record
        with contextlib.suppress(Interrupted):  # the run has ended as it has: what is not sent yet is sent later
            end_tracking(self.tracking, self.listener.notice)
        return load(self.live.store, self.live.id)
