# The targets of the Cyrus SASL plugin, included by the Makefile of the folder above.

ENVIRONMENT := $(PREFIX)/lib/browserid-sasl/env
PLUGIN_DIR ?= $(shell pkg-config --variable=libdir libsasl2)/sasl2
MAN_DIR ?= $(PREFIX)/share/man
PLUGIN_BUILD ?= $(CURDIR)/plugin/build

build_plugin = $(MAKE) --no-print-directory -C plugin BUILD='$(PLUGIN_BUILD)' ENVIRONMENT='$(ENVIRONMENT)'

.PHONY: plugin plugin-packages install-plugin uninstall-plugin clean-plugin

plugin: plugin-packages ## build the Cyrus SASL plugin, plugin/build/libbrowserid.so
	@tools/debian-packages.sh tools/debian-base.txt
	@tools/environment.sh idp
	@+$(build_plugin) PYTHON='$(CURDIR)/$(PYTHON)'

plugin-packages:
	@tools/debian-packages.sh plugin/debian-build.txt

install: install-plugin
uninstall: uninstall-plugin
clean: clean-plugin

# A daemon that has the old file open keeps it: the new one takes its name, not its place.
install-plugin: install-commands plugin-packages
	@+$(build_plugin) PYTHON='$(ENVIRONMENT)/bin/python3'
	install -D -m 644 '$(PLUGIN_BUILD)/libbrowserid.so' '$(PLUGIN_DIR)/libbrowserid.so.new'
	mv -f '$(PLUGIN_DIR)/libbrowserid.so.new' '$(PLUGIN_DIR)/libbrowserid.so'
	install -D -m 644 plugin/browserid-sasl.8 '$(MAN_DIR)/man8/browserid-sasl.8'

uninstall-plugin:
	rm -f '$(PLUGIN_DIR)/libbrowserid.so' '$(MAN_DIR)/man8/browserid-sasl.8'

clean-plugin:
	@+$(build_plugin) clean
