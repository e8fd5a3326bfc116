#!/bin/sh
# Put the units of contrib/systemd where debhelper looks for them, with the place of the commands.
set -eu

place() { sed 's:/usr/local/bin/:/usr/bin/:' "contrib/systemd/$1" >"debian/$2"; }

for service in browserid-acceptor browserid-idp browserid-verifier; do
    place "$service.service" "$service.service"
done
for unit in service socket; do place "browserid-agent.$unit" "browserid.browserid-agent.user.$unit"; done
