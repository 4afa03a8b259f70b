"""The documented commands in three terminals, with no variable set but what makes the test short."""

import signal

import pytest

from tests.end_to_end.running import running

# In a terminal: celery -A apps.beat.celery_app beat -l info
BEAT = ("celery", "-A", "apps.beat.celery_app", "beat", "-l", "info")
WORKER_IO = ("celery", "-A", "apps.worker_io.celery_app", "worker", "-l", "info", "-n", "io@%h")
WORKER_CPU = ("celery", "-A", "apps.worker_cpu.celery_app", "worker", "-l", "info", "-n", "cpu@%h")


@pytest.mark.end_to_end
def test_beat_and_workers_by_hand() -> None:
    with running(LOG_FORMAT="json", NOTIFICATIONS_LOOP_INTERVAL_SECONDS="1") as service:
        assert service.minsy("services", "start").returncode == 0
        assert service.minsy("db", "migrate").returncode == 0
        assert service.minsy("db", "seed").returncode == 0
        processes = [
            service.start("beat", *BEAT),
            service.start("worker_io", *WORKER_IO),
            service.start("worker_cpu", *WORKER_CPU),
        ]
        service.wait_for(
            lambda: service.rows("SELECT 1 FROM notification_outbox WHERE status = 'sent'"), "mail", "worker_io"
        )
        assert '"event": "task_started"' in service.log("worker_io")
        assert '"beat_job": "notifications.dispatch_pending"' in service.log("worker_io")
        service.wait_for(lambda: "ready" in service.log("worker_cpu"), "worker", "worker_cpu")
        for process in processes:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(60) for process in processes] == [0, 0, 0]
        assert service.minsy("services", "stop").returncode == 0


@pytest.mark.end_to_end
def test_a_job_runs_alone_and_its_failure_is_told() -> None:
    with running() as service:
        early = service.minsy("run", "backup_postgres_full")
        assert early.returncode == 1
        assert "minsy db migrate" in early.stderr
        assert service.minsy("db", "migrate").returncode == 0
        done = service.minsy("run", "maintenance.backup_postgres_full")
        assert done.returncode == 0, done.stderr
        assert ".dump" in done.stdout
        unknown = service.minsy("run", "maintenance.nothing")
        assert unknown.returncode == 2
        assert "maintenance.backup_postgres_full" in unknown.stderr
        (service.var_dir / "exports").write_text("a file where a directory should be")
        failed = service.minsy("run", "export_user_emails_csv")
        assert failed.returncode == 1
        assert "maintenance.export_user_emails_csv failed" in failed.stderr
        assert "Traceback" not in failed.stderr
