# The targets of the plugins, included by the Makefile of the folder above.

# Only root may write to libsasl2's own folder. Others have one which SASL_PATH names.
SYSTEM_PLUGIN_DIR = $(shell pkg-config --variable=libdir libsasl2)/sasl2
PLUGIN_DIR ?= $(if $(filter 0,$(shell id -u)),$(SYSTEM_PLUGIN_DIR),$(PREFIX)/lib/sasl2)
# Dovecot looks in one folder. Without headers of a Dovecot that the module is for there is none.
DOVECOT_MODULES ?= $(if $(filter 0,$(shell id -u)),/usr/lib/dovecot/modules/auth)
with_dovecot = $(and $(DOVECOT_MODULES),$(shell grep -Els 'DOVECOT_ABI_VERSION "2\.[34]\.' /usr/include/dovecot/config.h))
# Programs of MIT Kerberos's GSS-API find their mechanisms by the files of one folder; others than root
# name theirs in GSS_MECH_CONFIG. Without its headers there is no module.
GSS_MECH_DIR ?= $(if $(filter 0,$(shell id -u)),/etc/gss/mech.d,$(PREFIX)/etc/gss/mech.d)
GSS_MODULE = $(PREFIX)/lib/browserid-sasl/mech_browserid.so
with_gss = $(shell pkg-config --exists mit-krb5-gssapi 2>/dev/null && echo yes)
MAN_DIR ?= $(PREFIX)/share/man
PLUGIN_BUILD ?= $(CURDIR)/plugin/build

build_plugin = $(MAKE) --no-print-directory -C plugin BUILD='$(PLUGIN_BUILD)' \
	AGENT='$(PREFIX)/bin/browserid-agent'

INSTALL_PACKAGES += plugin/debian-build.txt
INSTALL_FOLDERS = '$(PLUGIN_DIR)' '$(MAN_DIR)' '$(PLUGIN_BUILD)' $(if $(with_dovecot),'$(DOVECOT_MODULES)') \
	$(if $(with_gss),'$(GSS_MECH_DIR)')

.PHONY: plugin plugin-packages install-plugin install-dovecot install-gss uninstall-plugin clean-plugin

plugin: plugin-packages ## build the Cyrus SASL plugin, plugin/build/libbrowserid.so
	@tools/debian-packages.sh tools/debian-base.txt
	@tools/environment.sh idp
	@+$(build_plugin) PYTHON='$(CURDIR)/$(PYTHON)'

plugin-packages:
	@tools/debian-packages.sh plugin/debian-build.txt

install: install-plugin $(if $(with_dovecot),install-dovecot) $(if $(with_gss),install-gss)
uninstall: uninstall-plugin
clean: clean-plugin

# A daemon that has the old file open keeps it: the new one takes its name, not its place.
install-plugin: install-commands
	@+$(build_plugin) PYTHON='$(PREFIX)/lib/browserid-sasl/env/bin/python3'
	install -D -m 644 '$(PLUGIN_BUILD)/libbrowserid.so' '$(PLUGIN_DIR)/libbrowserid.so.new'
	mv -f '$(PLUGIN_DIR)/libbrowserid.so.new' '$(PLUGIN_DIR)/libbrowserid.so'
	install -D -m 644 plugin/browserid-sasl.8 '$(MAN_DIR)/man8/browserid-sasl.8'
	@[ '$(PLUGIN_DIR)' != '$(SYSTEM_PLUGIN_DIR)' ] || echo \
		'servers ask browserid-acceptor, which takes an account and a unit: see docs/acceptor.md'
	@[ '$(PLUGIN_DIR)' = '$(SYSTEM_PLUGIN_DIR)' ] || printf '%s\n' \
		'programs find the plugin with this in their environment:' \
		'    export SASL_PATH="$(PLUGIN_DIR):$(SYSTEM_PLUGIN_DIR)"'

install-dovecot: install-plugin
	@+$(build_plugin) dovecot PYTHON='$(PREFIX)/lib/browserid-sasl/env/bin/python3'
	install -D -m 644 '$(PLUGIN_BUILD)/lib90_browserid.so' '$(DOVECOT_MODULES)/lib90_browserid.so.new'
	mv -f '$(DOVECOT_MODULES)/lib90_browserid.so.new' '$(DOVECOT_MODULES)/lib90_browserid.so'

# The module before the file that has programs load it.
install-gss: install-plugin
	@+$(build_plugin) gss PYTHON='$(PREFIX)/lib/browserid-sasl/env/bin/python3'
	install -D -m 644 '$(PLUGIN_BUILD)/mech_browserid.so' '$(GSS_MODULE).new'
	mv -f '$(GSS_MODULE).new' '$(GSS_MODULE)'
	install -d '$(GSS_MECH_DIR)'
	'$(PREFIX)/lib/browserid-sasl/env/bin/python3' plugin/gss_mechanisms.py '$(GSS_MODULE)' \
		>'$(GSS_MECH_DIR)/browserid.conf.new'
	mv -f '$(GSS_MECH_DIR)/browserid.conf.new' '$(GSS_MECH_DIR)/browserid.conf'

uninstall-plugin:
	rm -f '$(GSS_MECH_DIR)/browserid.conf' '$(GSS_MODULE)'
	rm -f '$(PLUGIN_DIR)/libbrowserid.so' '$(MAN_DIR)/man8/browserid-sasl.8' \
		$(if $(DOVECOT_MODULES),'$(DOVECOT_MODULES)/lib90_browserid.so')

clean-plugin:
	@+$(build_plugin) clean
