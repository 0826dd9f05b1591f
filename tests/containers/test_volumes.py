"""
Volumes with a wrong owner, missing volumes, and backups.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from certworker.errors.pages import page_of
from tests.containers.certification import ContainedPebble
from tests.containers.project import TOP, WORKER, Project

#: The commands that create the state after a worker that ran as root.
OF_ROOT = "chown 0:0 /storage/certificates && mkdir -m 0755 /storage/certificates/shop.internal"
AS_ROOT = ("run", "--rm", "--no-deps", "--user", "0", "--cap-add", "CHOWN", "--entrypoint", "sh")

TRAEFIK_OF_ROOT = """
services:
  traefik:
    user: "0:0"
    cap_drop: !reset []
"""

WITHOUT_CERTIFICATES = """
services:
  appwrite-worker-certificates:
    volumes: !override
      - appwrite-config:/storage/config
      - certworker-state:/storage/state
      - ${TEST_CA_BUNDLE}:/pebble.pem:ro
"""


class TestOwnership:
    def test_a_volume_of_root_is_reported_and_the_remedy_works(
        self, project: Project, pebble: ContainedPebble
    ) -> None:
        """
        The worker reports a volume of root, as after Appwrite's worker, and the command in the remedy
        corrects it.
        """
        pebble.start()
        project.compose(*AS_ROOT, WORKER, "-c", OF_ROOT)
        project.up()
        message = project.wait_for_line("fs.readonly")
        remedy = re.search(r"docker compose (run .*?)(?: docs=|$)", message)

        assert "as uid 10001 (" in message
        assert "; /storage/certificates belongs to" in message
        assert remedy
        checks = re.findall(r"^    docker compose (run .*)$", page_of("fs.readonly"), re.MULTILINE)
        assert 2 == len(checks)
        for check in checks:
            command = check.replace("SERVICE", WORKER).replace("PATH", "/storage/certificates")
            project.compose(*shlex.split(command))
        project.compose(*shlex.split(remedy[1].replace("SERVICE", WORKER)))
        project.compose("restart", WORKER)
        project.wait_for_line("main.internal: certificate issued")
        project.request("shop.internal")
        project.wait_for_line("shop.internal: certificate issued")

    def test_a_traefik_as_root_reads_the_files_of_the_worker(
        self, project: Project, pebble: ContainedPebble, tmp_path: Path
    ) -> None:
        """
        A Traefik that runs as root, as in Appwrite, serves certificates of a worker with another uid.
        """
        of_root = tmp_path / "of-root.yml"
        of_root.write_text(TRAEFIK_OF_ROOT)
        project.also(of_root)
        pebble.start()
        project.up()
        project.wait_for_line("main.internal: certificate issued")

        assert project.visit("main.internal")


class TestForgottenVolumes:
    def test_a_missing_volume_causes_a_warning(
        self, project: Project, pebble: ContainedPebble, tmp_path: Path
    ) -> None:
        """
        certworker warns of a missing volume, for which the engine creates one that the next `down` removes.
        """
        forgetful = tmp_path / "forgetful.yml"
        forgetful.write_text(WITHOUT_CERTIFICATES)
        project.also(forgetful)
        pebble.start()
        project.up()
        message = project.wait_for_line("fs.not_persistent")

        assert " WARN" in message
        assert "- appwrite-certificates:/storage/certificates" in message
        assert "/storage/state" not in project.logs()
        doctor = project.attempt("exec", "--no-TTY", WORKER, "certworker", "doctor", "--json")
        assert 2 == doctor.returncode
        assert "fs.not_persistent" in doctor.stdout

    def test_the_project_volumes_cause_no_warning(self, project: Project, pebble: ContainedPebble) -> None:
        """
        The doctor reports no problem with the volumes of the project.
        """
        pebble.start()
        project.up()
        project.wait_for_line("main.internal: Traefik now serves the new certificate")

        assert "fs.not_persistent" not in project.logs()
        assert "0 problems, 0 warnings." in project.worker("doctor")


class TestBackup:
    def test_the_commands_of_the_guide_restore_it(
        self, project: Project, pebble: ContainedPebble, tmp_path: Path
    ) -> None:
        """
        The commands restore the volumes on an empty machine, without Redis and without another order.
        """
        guide = (TOP / "docs" / "guides" / "backup-restore.md").read_text()
        backup, restore = (
            block
            for _, block in re.findall(r"^```sh (backup|restore)\n(.*?)^```", guide, re.DOTALL | re.MULTILINE)
        )
        pebble.start()
        project.up()
        project.wait_for_line("main.internal: certificate issued")
        serial = project.visit("main.internal")

        project.type_in(backup, tmp_path)
        project.remove()
        project.type_in(restore, tmp_path)

        project.wait_for_line("main.internal: certificate valid, nothing to do")
        assert serial == project.visit("main.internal")
