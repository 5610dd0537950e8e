# What is installed, and where. Included by the Makefile; unit files carry
# @bindir@ where the program goes.

BINDIR     := $(PREFIX)/bin
UNITS_IN   := $(sort $(wildcard systemd/*.service.in systemd/*.timer.in))
UNITS      := $(UNITS_IN:systemd/%.in=%)
PLAIN_UNITS := $(notdir $(sort $(wildcard systemd/*.slice systemd/*.timer systemd/*.service)))
# Needed on the node, at 3 a.m.
GUIDES     := RUNBOOK.md TRIAGE.md SAFETY.md
PAGES      := $(notdir $(sort $(wildcard docs/*.8)))

.PHONY: install
install: all
	install -D -m 755 $(B)/containerd-recover $(DESTDIR)$(BINDIR)/containerd-recover
	install -d $(DESTDIR)$(UNITDIR)/containerd.service.d
	set -e; for unit in $(UNITS); do \
		sed 's|@bindir@|$(BINDIR)|g' systemd/$$unit.in >$(DESTDIR)$(UNITDIR)/$$unit; \
	done
	sed 's|@bindir@|$(BINDIR)|g' systemd/10-containerd-recover.conf.in \
		>$(DESTDIR)$(UNITDIR)/containerd.service.d/10-containerd-recover.conf
	$(if $(PLAIN_UNITS),install -m 644 $(PLAIN_UNITS:%=systemd/%) $(DESTDIR)$(UNITDIR)/)
	install -D -m 644 systemd/containerd-recover.tmpfiles \
		$(DESTDIR)$(TMPFILESDIR)/containerd-recover.conf
	$(if $(PAGES),install -D -m 644 -t $(DESTDIR)$(MANDIR)/man8 $(PAGES:%=docs/%))
	install -D -m 644 -t $(DESTDIR)$(DOCDIR) $(GUIDES:%=docs/%)

# The records (/var/lib/containerd-recover) and quarantines stay: they are the
# administrator's.
.PHONY: uninstall
uninstall:
	rm -f $(DESTDIR)$(BINDIR)/containerd-recover
	rm -f $(DESTDIR)$(UNITDIR)/containerd.service.d/10-containerd-recover.conf
	rm -f $(addprefix $(DESTDIR)$(UNITDIR)/,$(UNITS) $(PLAIN_UNITS))
	rm -f $(DESTDIR)$(TMPFILESDIR)/containerd-recover.conf
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/man8/,$(PAGES))
	rm -f $(addprefix $(DESTDIR)$(DOCDIR)/,$(GUIDES))
	-rmdir $(DESTDIR)$(DOCDIR) 2>/dev/null
	-rmdir $(DESTDIR)$(UNITDIR)/containerd.service.d 2>/dev/null
