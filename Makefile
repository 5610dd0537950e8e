# containerd-recover: `make`, `sudo make check`, `sudo make demo`, `make help`.

VERSION := 0.1.0
# debug, asan or release: a folder each, so that objects never mix.
PROFILE ?= debug
CC      ?= gcc
B       := build/$(PROFILE)$(if $(filter clang%,$(CC)),-clang)
V       ?= 0
Q       := $(if $(filter 1,$(V)),,@)

PREFIX     ?= /usr
LIBEXECDIR ?= $(PREFIX)/libexec
SYSCONFDIR ?= /etc
MANDIR     ?= $(PREFIX)/share/man
DOCDIR     ?= $(PREFIX)/share/doc/containerd-recover
UNITDIR    ?= $(PREFIX)/lib/systemd/system
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d

# Linked: small, and needed on (almost) every path. Opened when first needed
# (scanners/dl.h): the rest. Of those only the headers are used here.
LINKED := jansson libmnl libbsd libmd inih
LOADED_SMALL := jansson libmnl
LOADED := libsystemd mount libarchive libcurl libcrypto

SCANNERS_SRC := $(sort $(wildcard scanners/*.c scanners/*/*.c))
RECOVER_SRC  := $(sort $(wildcard recover/*.c recover/*/*.c))
SRC          := $(SCANNERS_SRC) $(RECOVER_SRC)
SCANNERS     := $(SCANNERS_SRC:%.c=$(B)/%.o)
PROTO        := $(patsubst %.proto,$(B)/%.pb-c,$(sort $(wildcard scanners/*.proto)))
OBJ          := $(SRC:%.c=$(B)/%.o) $(PROTO:%=%.o)
LIB_OBJ      := $(filter-out $(B)/recover/main.o,$(OBJ))
UNIT_TESTS   := $(patsubst %.c,$(B)/%,$(sort $(wildcard tests/unit/test_*.c)))
FUZZERS      := $(patsubst %.c,build/fuzz/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
HELPERS      := $(patsubst %.c,$(B)/%,$(sort $(wildcard tests/helpers/*.c tests/bench/*.c)))

WARNINGS := -Wall -Wextra -Wshadow -Wformat=2 -Wundef -Wvla -Wstrict-prototypes \
	-Wmissing-prototypes -Wold-style-definition -Wwrite-strings -Wpointer-arith \
	-Wcast-align -Wno-cpp -Wimplicit-fallthrough -Wunused-result -Werror
CFLAGS.debug   := -Og -g3 -DFAULT_POINTS
CFLAGS.asan    := -O1 -g -DFAULT_POINTS -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS.release := -O2 -g -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fPIE
LDFLAGS.asan    := -fsanitize=address,undefined
LDFLAGS.release := -pie -Wl,-z,relro,-z,now
LINKED_CFLAGS  := $(shell pkg-config --cflags $(LINKED) $(LOADED) | sed 's/-I/-isystem /g')
# libbsd and inih go in whole: loading three more objects costs a sixth of the fast path.
LINKED_LIBS    := $(shell pkg-config --libs $(LOADED_SMALL)) -l:libbsd.a -l:libmd.a -l:libinih.a
ALL_CFLAGS  := -std=gnu17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DVERSION='"$(VERSION)"' -DDOCDIR='"$(DOCDIR)"' -I. -I$(B) \
	$(WARNINGS) $(CFLAGS.$(PROFILE)) $(LINKED_CFLAGS) $(CFLAGS)
ALL_LDFLAGS := -Wl,--as-needed $(LDFLAGS.$(PROFILE)) $(LDFLAGS)
# protobuf-c is small and of few users: its static library, so that no start loads it.
LIBS        := $(LINKED_LIBS) -l:libprotobuf-c.a -lpthread -ldl

.PHONY: all
all: $(B)/containerd-recover

.PHONY: help
help:
	@sed -n 's/^#: //p' $(MAKEFILE_LIST)

#: make                 build/debug/containerd-recover (PROFILE=debug|asan|release, CC=gcc|clang)
#: make check           as root: lint aside, every test: unit, cli, layers, real nodes
#: make check-unit      the unit and command-line tests alone
#: make check-asan      the same under AddressSanitizer and UBSan
#: make check-node      the tests on a real systemd + containerd + CNI node
#: make check-matrix    the same story on containerd 1.7 and 2.1 (debootstrap, needs a network)
#: make figures         the times that the node tests take, checked against their bounds
#: make soak            chaos on a real node, SECONDS=600 of it; SEED= to replay
#: make bench           figures for docs/BENCHMARKS.md
#: make demo            a crash loop and its cure on a throw-away real node
#: make lint            clang-tidy, cppcheck, shellcheck, man page, size caps
#: make layers          proves that scanners change nothing and triage is pure
#: make fuzz            short fuzzing runs of every parser
#: make install         DESTDIR, PREFIX; make uninstall
$(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $@"
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(B)/%.pb-c.c $(B)/%.pb-c.h: %.proto
	@mkdir -p $(@D)
	@echo "  PROTO $@"
	$(Q)protoc-c --c_out=$(B) $<

$(B)/%.pb-c.o: $(B)/%.pb-c.c
	$(Q)$(CC) $(ALL_CFLAGS) -w -c $< -o $@

$(SRC:%.c=$(B)/%.o): | $(PROTO:%=%.h)

$(B)/containerd-recover: $(OBJ)
	@echo "  LD    $@"
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@

# Unit tests link everything but main(), with the calls that tests make fail
# (tests/unit/fault.h) wrapped.
UNIT_OBJ := $(addprefix $(B)/tests/unit/,tap.o fault.o processes.o world.o salvage_scene.o)
WRAPPED := openat64 $(shell awk -F'[^A-Za-z0-9_]' '/^WRAP/ { print $$2 substr($$1, 5) }' tests/unit/fault.c)
$(B)/tests/unit/%: $(B)/tests/unit/%.o $(UNIT_OBJ) $(LIB_OBJ)
	@echo "  LD    $@"
	$(Q)$(CC) $(ALL_LDFLAGS) $(WRAPPED:%=-Wl,--wrap=%) $^ $(LIBS) -o $@

# Programs that tests and benchmarks run; each a file of its own.
$(B)/tests/helpers/% $(B)/tests/bench/%: $(B)/tests/%.o $(LIB_OBJ)
$(HELPERS): $(B)/%: $(B)/%.o $(LIB_OBJ)
	@echo "  LD    $@"
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(LIBS) -o $@

build/fuzz/tests/fuzz/%: tests/fuzz/%.c $(filter-out recover/main.c,$(SRC)) $(PROTO:%=%.c)
	@mkdir -p $(@D)
	@echo "  FUZZ  $@"
	$(Q)clang -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -g -O1 \
		$(filter-out -fanalyzer,$(ALL_CFLAGS)) $^ $(LIBS) -o $@

.PHONY: check check-unit check-node check-matrix bench demo
check: layers helpers $(B)/containerd-recover $(UNIT_TESTS)
	tests/run $(B) unit cli node

check-unit: helpers $(B)/containerd-recover $(UNIT_TESTS)
	tests/run $(B) unit cli

# The unit and command-line tests under AddressSanitizer and UBSan.
.PHONY: check-asan
check-asan:
	$(MAKE) PROFILE=asan check-unit

check-node: helpers $(B)/containerd-recover
	tests/run $(B) node

check-matrix: helpers $(B)/containerd-recover
	tests/node/matrix.sh $(B)

# The figures that tests on a node take, as checks: for a machine with nothing else to do.
.PHONY: figures
figures: helpers $(B)/containerd-recover
	for t in crash-loop outage salvage salvage-big salvage-pods sweep-many; do \
		FIGURES=1 BUILD=$(CURDIR)/$(B) tests/node/$$t.t || exit 1; done

.PHONY: helpers
helpers: $(HELPERS)

.PHONY: soak
soak: helpers $(B)/containerd-recover
	SOAK_SECONDS=$(or $(SECONDS),600) BUILD=$(CURDIR)/$(B) tests/node/soak.sh

bench: helpers
	$(MAKE) PROFILE=release all helpers
	tests/bench/run build/release

# Builds by itself: first it installs what building takes.
demo:
	tests/node/demo.sh $(B)

MUTATORS := [fl]?(unlink|rename|mkdir|mknod|symlink|link|chmod|chown|truncate|setxattr|removexattr)(at2?|64)?|rmdir|p?writev?(64)?|remove|fwrite|creat|u?mount2?|setns|unshare|kill|tgkill|pidfd_send_signal|fork|vfork|posix_spawnp?|exec[lv]p?e?|fexecve|system|popen|ioctl|syscall

# Scanners may link nothing that changes the node (sys.o wraps the raw system
# calls named below and no other); triage may link nothing at all. On the debug
# profile: sanitizers and hardening add symbols of their own.
.PHONY: layers
layers:
	$(Q)$(MAKE) --no-print-directory PROFILE=debug CC=gcc layers-of-debug

.PHONY: layers-of-debug
layers-of-debug: $(SCANNERS) $(B)/recover/triage.o
	@echo "  LAYERS"
	$(Q)! nm -uP $(filter-out $(B)/scanners/sys.o,$(SCANNERS)) | grep -wE '$(MUTATORS)'
	$(Q)! nm -uP $(B)/scanners/sys.o | grep -wE '$(MUTATORS)' | grep -vw syscall
	$(Q)! grep -n 'syscall(' scanners/sys.c | grep -vE 'SYS_openat2|SYS_ioctl, fd, (FS_IOC_FIEMAP|BTRFS_IOC_INO_LOOKUP)'
	$(Q)! nm -uP $(B)/recover/triage.o | grep .
	$(Q)! grep -n 'include "recover/' scanners/*.[ch]

.PHONY: lint
lint:
	tests/lint

.PHONY: fuzz
fuzz: $(FUZZERS)
	tests/fuzz/run $(FUZZERS)

.SECONDARY:

-include systemd/install.mk

.PHONY: clean
clean:
	rm -rf build

-include $(shell find $(B) -name '*.d' 2>/dev/null)
