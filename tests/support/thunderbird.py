"""Thunderbird itself, without a screen, told what to do by the protocol for tests of Mozilla's.

What a person would click is called by its name: *Get Messages*, a message opened, *Send*. Nothing
waits for its timers, which depend on when it thinks that the person is idle.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tests.support.patience import PATIENCE, wait_until

_SYSTEM: Final = "--remote-allow-system-access"
_TIMEOUT: Final = 2 * PATIENCE
_QUIET: Final = {
    "marionette.port": 0,
    "app.update.enabled": False,
    "browser.safebrowsing.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "mail.provider.suppress_dialog_on_startup": True,
    "mail.rights.version": 1,
    "mail.shell.checkDefaultClient": False,
    "mail.spotlight.firstRunDone": True,
    "mail.startup.enabledMailCheckOnce": True,
    "mailnews.start_page.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.manage-offline-status": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}
"""It asks nobody on the Internet, and begins with no page of its own."""

_FETCH: Final = """
const done = arguments[arguments.length - 1];
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const [account] = MailServices.accounts.accounts;
const server = account.incomingServer;
const inbox = server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
const read = [];
function next(uris) {
  if (!uris.length) { done({ status: 0, read }); return; }
  let text = "";
  const listener = {
    QueryInterface: ChromeUtils.generateQI(["nsIStreamListener", "nsIRequestObserver"]),
    onStartRequest() {},
    onDataAvailable(request, stream, offset, count) {
      const input = Cc["@mozilla.org/scriptableinputstream;1"].createInstance(
        Ci.nsIScriptableInputStream);
      input.init(stream);
      text += input.read(count);
    },
    onStopRequest(request, status) {
      if (status) { done({ status, read }); return; }
      read.push(text);
      next(uris.slice(1));
    },
  };
  MailServices.messageServiceFromURI(uris[0]).streamMessage(
    uris[0], listener, null, null, false, "", false);
}
// It comes a while after the start, and has nothing until then.
if (!inbox) { done({ status: 0, read }); return; }
server.getNewMessages(inbox, null, {
  OnStartRunningUrl() {},
  OnStopRunningUrl(url, status) {
    if (status) { done({ status, read }); return; }
    next([...inbox.messages].map(each => inbox.getUriForMsg(each)));
  },
});
"""

_SEND: Final = """
const [path, recipient, done] = arguments;
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const [account] = MailServices.accounts.accounts;
const identity = account.defaultIdentity;
identity.doFcc = false;
const fields = Cc["@mozilla.org/messengercompose/composefields;1"].createInstance(
  Ci.nsIMsgCompFields);
fields.from = identity.email;
fields.to = recipient;
const file = Cc["@mozilla.org/file/local;1"].createInstance(Ci.nsIFile);
file.initWithPath(path);
Cc["@mozilla.org/messengercompose/send;1"].createInstance(Ci.nsIMsgSend).sendMessageFile(
  identity, account.key, fields, file, false, false, Ci.nsIMsgSend.nsMsgDeliverNow, null,
  {
    QueryInterface: ChromeUtils.generateQI(["nsIMsgSendListener"]),
    onStartSending() {},
    onProgress() {},
    onSendProgress() {},
    onStatus() {},
    onStopSending(id, status, message) { done({ status, read: [String(message)] }); },
    onGetDraftFolderURI() {},
    onSendNotPerformed() { done({ status: 1, read: ["not performed"] }); },
    onTransportSecurityError() { done({ status: 1, read: ["transport"] }); },
  },
  null, "");
"""


class Thunderbird:
    """A running one.

    :param line: to its server for tests.
    """

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._file = line.makefile("rb")
        self._number = 0
        self._read()  # who it is
        self._ask("WebDriver:NewSession", {})
        self._ask("WebDriver:SetTimeouts", {"script": int(_TIMEOUT * 1000)})
        self._ask("Marionette:SetContext", {"value": "chrome"})

    def messages(self) -> list[str]:
        """Get new messages, and open all in the inbox of the first account."""
        return self._run(_FETCH)

    def send(self, message: Path, recipient: str) -> None:
        """Send a message that is in a file."""
        self._run(_SEND, str(message), recipient)

    def _run(self, script: str, *given: str) -> list[str]:
        wanted = {"script": script, "args": given, "sandbox": "system", "newSandbox": True}
        done = self._ask("WebDriver:ExecuteAsyncScript", wanted)["value"]
        assert done["status"] == 0, done
        read: list[str] = done["read"]
        return read

    def _ask(self, command: str, given: dict[str, object]) -> Any:
        self._number += 1
        octets = json.dumps([0, self._number, command, given]).encode()
        self._line.sendall(b"%d:%b" % (len(octets), octets))
        _, number, error, answer = self._read()
        assert number == self._number
        assert error is None, error
        return answer

    def _read(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            octet = self._file.read(1)
            assert octet, "Thunderbird has ended"
            length += octet
        return json.loads(self._file.read(int(length[:-1])))


@contextmanager
def running(home: Path, profile: Path) -> Iterator[Thunderbird]:
    """One with a profile, until the end of the block; then nothing of it runs any more."""
    lines = (f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in _QUIET.items())
    (profile / "user.js").write_text("".join(lines))
    command = (
        "thunderbird",
        "--headless",
        "--no-remote",
        "--marionette",
        _SYSTEM,
        "--profile",
        profile,
    )
    variables = {"HOME": str(home), "PATH": "/usr/bin:/bin", "MOZ_CRASHREPORTER_DISABLE": "1"}
    with (home / "thunderbird.log").open("wb") as log:
        # The program is a script that starts others: all are of one session.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables,
            cwd=home, start_new_session=True,
        )  # fmt: skip
        try:
            with _connected(process, profile) as line:
                yield Thunderbird(line)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _connected(process: subprocess.Popen[bytes], profile: Path) -> socket.socket:
    port = profile / "MarionetteActivePort"

    def written() -> bool:
        assert process.poll() is None, "Thunderbird has ended"
        return port.exists() and port.read_text().strip() != ""

    wait_until(written, "Thunderbird's start", _TIMEOUT)
    return socket.create_connection(("127.0.0.1", int(port.read_text())), _TIMEOUT)
