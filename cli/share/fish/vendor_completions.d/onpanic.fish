# Completion of onpanic for fish.  Written by make man from the parsers of its command line.

# Whether the words before the cursor begin with these, and -- is not among them
function __onpanic_command
    set -l words (commandline -opc)
    set -e words[1]
    contains -- -- $words; and return 1
    test (count $words) -ge (count $argv); or return 1
    for i in (seq (count $argv))
        test $words[$i] = $argv[$i]; or return 1
    end
end

# Whether these are all the words before the cursor
function __onpanic_only
    set -l words (commandline -opc)
    test (count $words) -eq (math 1 + (count $argv)); and __onpanic_command $argv
end

# What follows -- is a command line of its own
function __onpanic_behind_dashes
    set -l words (commandline -opc)
    set -l place (contains -i -- -- $words); or return 1
    complete -C (string join -- ' ' $words[(math $place + 1)..] (commandline -ct))
end

function __onpanic_emulators
    complete -C qemu-system- | string match -r '^qemu-system-\S+'
    string match -q '*/*' -- (commandline -ct); and __fish_complete_path (commandline -ct)
end

complete -c onpanic -f
complete -c onpanic -n 'contains -- -- (commandline -opc)' -a '(__onpanic_behind_dashes)'
complete -c onpanic -n __onpanic_only -s h -l help -d 'show this help and exit'
complete -c onpanic -n __onpanic_only -l version -d 'show the version and exit'
complete -c onpanic -n __onpanic_only -a probe -d 'ask an emulator what happens when its guest panics'
complete -c onpanic -n __onpanic_only -a accept -d 'tell whether a policy is accepted, and why not'
complete -c onpanic -n __onpanic_only -a check -d 'check whether a QEMU build is fit to be shipped'
complete -c onpanic -n __onpanic_only -a to-libvirt -d 'translate a domain\'s <on_panic> policy for libvirt'
complete -c onpanic -n __onpanic_only -a from-libvirt -d 'state the <on_panic> policy of a libvirt domain'
complete -c onpanic -n __onpanic_only -a domcaps -d 'print libvirt\'s domain capabilities with <on_panic> filled in'
complete -c onpanic -n __onpanic_only -a status -d 'show the state of a guest, and what can be done about it'
complete -c onpanic -n __onpanic_only -a why -d 'show why a guest panicked: its last words, read from its memory'
complete -c onpanic -n __onpanic_only -a resume -d 'continue a panicked guest'
complete -c onpanic -n __onpanic_only -a run -d 'run a QEMU, and tell why its guest panicked'
complete -c onpanic -n __onpanic_only -a watch -d 'carry out policies when guests panic'
complete -c onpanic -n __onpanic_only -a host -d 'show which policies this host can keep, and make its record'
complete -c onpanic -n __onpanic_only -a explain -d 'explain a code, and what to do about it'
complete -c onpanic -n __onpanic_only -a matrix -d 'collect, build, show, diff'
complete -c onpanic -n '__onpanic_only matrix' -a collect -d 'collect capability records of many emulators'
complete -c onpanic -n '__onpanic_only matrix' -a build -d 'build matrix.json, MATRIX.md and index.html from records'
complete -c onpanic -n '__onpanic_only matrix' -a show -d 'show the compatibility matrix'
complete -c onpanic -n '__onpanic_only matrix' -a diff -d 'show what changed from one build to another'
complete -c onpanic -n __onpanic_only -a fleet -d 'verdict, migrate, diff'
complete -c onpanic -n '__onpanic_only fleet' -a verdict -d 'show which policies every host of a fleet keeps'
complete -c onpanic -n '__onpanic_only fleet' -a migrate -d 'show where a guest can migrate and keep its policy'
complete -c onpanic -n '__onpanic_only fleet' -a diff -d 'show what changed on the hosts of a fleet'

# onpanic probe
complete -c onpanic -n '__onpanic_command probe' -s h -l help -d 'show this help message and exit'
complete -c onpanic -n '__onpanic_command probe' -l machine -x -d 'machine type or alias; repeatable (default: the default one)'
complete -c onpanic -n '__onpanic_command probe' -l all-machines -d 'every machine type that the emulator has'
complete -c onpanic -n '__onpanic_command probe' -l introspect-only -d 'start no guest CPU: nothing is observed'
complete -c onpanic -n '__onpanic_command probe' -l acpi -d 'boot the firmware and read the guest\'s ACPI tables (about half a second)'
complete -c onpanic -n '__onpanic_command probe' -l notifier -x -a 'isa pvpanic hyperv pseries s390' -d 'ask about this notifier only, and judge by it (default: all, and the best; pvpanic is on PCI)'
complete -c onpanic -n '__onpanic_command probe' -l timeout -x -d 'how long one machine type of one emulator may take (default: 10)'
complete -c onpanic -n '__onpanic_command probe' -l jobs -x -d 'how many emulators run at a time (default: one more than there are CPUs)'
complete -c onpanic -n '__onpanic_command probe' -l recording -r -F -d 'read a recording instead'
complete -c onpanic -n '__onpanic_command probe' -l qmp -r -F -d 'a running guest\'s monitor, PATH or HOST:PORT; changes nothing'
complete -c onpanic -n '__onpanic_command probe' -l domain -x -d 'a running libvirt domain; changes nothing, libvirt taints it'
complete -c onpanic -n '__onpanic_command probe' -l connect -x -d 'libvirt connection: of --domain, or of a Xen host'
complete -c onpanic -n '__onpanic_command probe' -l hypervisor -x -a 'xen' -d 'ask the xl of this dom0'
complete -c onpanic -n '__onpanic_command probe' -l format -x -a 'text json' -d 'json: one record a line'
complete -c onpanic -n '__onpanic_command probe' -l save-recording -r -F -d 'write the whole conversation to a file'
complete -c onpanic -n '__onpanic_command probe' -l skip-missing -d 'exit status 77 if there is no such emulator'
complete -c onpanic -n '__onpanic_command probe' -s q -l quiet -d 'print nothing on success'
complete -c onpanic -n '__onpanic_command probe' -a '(__onpanic_emulators)'

# onpanic accept
complete -c onpanic -n '__onpanic_command accept' -s h -l help -d 'show this help message and exit'
complete -c onpanic -n '__onpanic_command accept' -l coredump -d 'with a dump of the guest\'s memory first'
complete -c onpanic -n '__onpanic_command accept' -l on-crash -x -a 'destroy restart preserve rename-restart' -d 'the <on_crash> value beside it'
complete -c onpanic -n '__onpanic_command accept' -l on-crash-coredump -d 'with a dump first on a crash as well'
complete -c onpanic -n '__onpanic_command accept' -l grace -x -d 'let the guest help itself for so long first'
complete -c onpanic -n '__onpanic_command accept' -l machine -x -d 'machine type or alias (default: the default one)'
complete -c onpanic -n '__onpanic_command accept' -l notifier -x -a 'isa pvpanic hyperv pseries s390' -d 'judge by this notifier (default: the best that the machine type has)'
complete -c onpanic -n '__onpanic_command accept' -l timeout -x -d 'how long the emulator may take (default: 10)'
complete -c onpanic -n '__onpanic_command accept' -l record -r -F -d 'answer from a record that onpanic probe --format json printed'
complete -c onpanic -n '__onpanic_command accept' -l hypervisor -x -a 'qemu xen' -d 'xen: by the rules alone, whatever the host\'s toolstack accepts'
complete -c onpanic -n '__onpanic_command accept' -l connect -x -d 'ask libvirt\'s Xen driver instead'
complete -c onpanic -n '__onpanic_command accept' -l format -x -a 'text json' -d 'form of the output (default: text)'
complete -c onpanic -n '__onpanic_command accept' -s q -l quiet -d 'print nothing if the policy is accepted'
complete -c onpanic -n '__onpanic_command accept' -a 'default crash ignore restart destroy preserve rename-restart pause'
complete -c onpanic -n '__onpanic_command accept' -a '(__onpanic_emulators)'

# onpanic check
complete -c onpanic -n '__onpanic_command check' -s h -l help -d 'show this help message and exit'
complete -c onpanic -n '__onpanic_command check' -l machine -x -d 'machine type or alias; repeatable (default: the default one)'
complete -c onpanic -n '__onpanic_command check' -l all-machines -d 'every machine type that the emulator has'
complete -c onpanic -n '__onpanic_command check' -l introspect-only -d 'start no guest CPU: nothing is observed'
complete -c onpanic -n '__onpanic_command check' -l acpi -d 'boot the firmware and read the guest\'s ACPI tables (about half a second)'
complete -c onpanic -n '__onpanic_command check' -l notifier -x -a 'isa pvpanic hyperv pseries s390' -d 'ask about this notifier only, and judge by it (default: all, and the best; pvpanic is on PCI)'
complete -c onpanic -n '__onpanic_command check' -l timeout -x -d 'how long one machine type of one emulator may take (default: 10)'
complete -c onpanic -n '__onpanic_command check' -l jobs -x -d 'how many emulators run at a time (default: one more than there are CPUs)'
complete -c onpanic -n '__onpanic_command check' -l expect -r -F -d 'a file of expected findings, with reasons'
complete -c onpanic -n '__onpanic_command check' -l baseline -r -F -d 'an older build\'s record; changes are findings (on all machine types, or those of --machine)'
complete -c onpanic -n '__onpanic_command check' -l format -x -a 'text json junit tap tmt' -d 'form of the output (default: text)'
complete -c onpanic -n '__onpanic_command check' -l fail-on -x -a 'error warning info' -d 'exit with status 1 from this severity on'
complete -c onpanic -n '__onpanic_command check' -l skip-missing -d 'exit status 77 if there is no such emulator'
complete -c onpanic -n '__onpanic_command check' -s q -l quiet -d 'print nothing if nothing fails'
complete -c onpanic -n '__onpanic_command check' -a '(__onpanic_emulators)'

# onpanic to-libvirt
complete -c onpanic -n '__onpanic_command to-libvirt' -s h -l help -d 'show this help message and exit'
complete -c onpanic -n '__onpanic_command to-libvirt' -l document -x -d 'which domain, if the file has several: virt-install --print-xml prints two'
complete -c onpanic -n '__onpanic_command to-libvirt' -l notifier -x -a 'isa pvpanic hyperv pseries s390' -d 'add this <panic> if the domain has none (default: the best that works; pvpanic is on PCI)'
complete -c onpanic -n '__onpanic_command to-libvirt' -l with-vmcoreinfo -d 'switch the vmcoreinfo device on where the guest can have it, for onpanic why'
complete -c onpanic -n '__onpanic_command to-libvirt' -s o -l output -r -F -d 'default: stdout'
complete -c onpanic -n '__onpanic_command to-libvirt' -s q -l quiet -d 'print nothing on stderr'
complete -c onpanic -n '__onpanic_command to-libvirt' -l format -x -a 'libvirt xl' -d 'xl: the file is a guest\'s configuration for xl (default: libvirt)'
complete -c onpanic -n '__onpanic_command to-libvirt' -l policy -r -F -d 'the policy is this domain\'s; - for stdin'
complete -c onpanic -n '__onpanic_command to-libvirt' -l on-crash -x -a 'destroy restart preserve rename-restart' -d 'the policy\'s <on_crash>'
complete -c onpanic -n '__onpanic_command to-libvirt' -l on-crash-coredump -d 'with a dump of the guest\'s memory first'
complete -c onpanic -n '__onpanic_command to-libvirt' -l record -r -F -d 'a record that onpanic probe --format json printed'
complete -c onpanic -n '__onpanic_command to-libvirt' -l emulator -x -a '(__onpanic_emulators)' -d 'probe this one instead of the domain\'s own'
complete -c onpanic -n '__onpanic_command to-libvirt' -l timeout -x -d 'how long the emulator, or libvirt, may take (default: 10)'
complete -c onpanic -n '__onpanic_command to-libvirt' -l libvirt-version -x -d 'the libvirt that the domain is for; repeatable'
complete -c onpanic -n '__onpanic_command to-libvirt' -l connect -x -d 'ask this libvirt, and probe the emulator that it would run; repeatable'
complete -c onpanic -n '__onpanic_command to-libvirt' -l fleet -r -F -d 'translate for all hosts with these records; - for standard input; repeatable'
complete -c onpanic -n '__onpanic_command to-libvirt' -l expected -r -F -d 'names of hosts, one per line: a host without a record counts as one that did not answer'
complete -c onpanic -n '__onpanic_command to-libvirt' -l answered-only -d 'translate only for the hosts that are counted'
complete -c onpanic -n '__onpanic_command to-libvirt' -l same-events -d 'if QEMUs offer different events, set those that all of them offer (<qemu:commandline>)'
complete -c onpanic -n '__onpanic_command to-libvirt' -F

# onpanic from-libvirt
complete -c onpanic -n '__onpanic_command from-libvirt' -s h -l help -d 'show this help message and exit'
complete -c onpanic -n '__onpanic_command from-libvirt' -l document -x -d 'which domain, if the file has several: virt-install --print-xml prints two'
complete -c onpanic -n '__onpanic_command from-libvirt' -l format -x -a 'libvirt xl' -d 'xl: the file is a guest\'s configuration for xl (default: libvirt)'
complete -c onpanic -n '__onpanic_command from-libvirt' -s o -l output -r -F -d 'default: stdout'
complete -c onpanic -n '__onpanic_command from-libvirt' -s q -l quiet -d 'print nothing on stderr'
complete -c onpanic -n '__onpanic_command from-libvirt' -F

# onpanic domcaps
complete -c onpanic -n '__onpanic_command domcaps' -s h -l help -d 'show this help message and exit'
complete -c onpanic -n '__onpanic_command domcaps' -l connect -x -d 'libvirt connection (default: libvirt\'s own)'
complete -c onpanic -n '__onpanic_command domcaps' -l emulator -r -F -d 'default: libvirt\'s for the architecture'
complete -c onpanic -n '__onpanic_command domcaps' -l machine -x -d 'machine type or alias (default: the default one)'
complete -c onpanic -n '__onpanic_command domcaps' -l arch -x -d 'libvirt\'s name, e.g. x86_64 (default: the host\'s)'
complete -c onpanic -n '__onpanic_command domcaps' -l virttype -x -d 'domain type: kvm, qemu, xen (default: the best)'
complete -c onpanic -n '__onpanic_command domcaps' -l record -r -F -d 'a record of the emulator, which is then not probed'
complete -c onpanic -n '__onpanic_command domcaps' -l timeout -x -d 'how long libvirt, which probes when it first starts, and then the emulator may take (default: 60)'

# onpanic status
complete -c onpanic -n '__onpanic_command status' -s h -l help -d 'show this help message and exit'
complete -c onpanic -n '__onpanic_command status' -l qmp -r -F -d 'the guest\'s QMP monitor, PATH or HOST:PORT'
complete -c onpanic -n '__onpanic_command status' -l domain -x -d 'the guest\'s libvirt domain: name, UUID or id'
complete -c onpanic -n '__onpanic_command status' -l connect -x -d 'libvirt connection for --domain'
complete -c onpanic -n '__onpanic_command status' -l timeout -x -d 'how long all answers may take (default: 10)'
complete -c onpanic -n '__onpanic_command status' -l format -x -a 'text json' -d 'form of the output (default: text)'

# onpanic why
complete -c onpanic -n '__onpanic_command why' -s h -l help -d 'show this help message and exit'
complete -c onpanic -n '__onpanic_command why' -l qmp -r -F -d 'the guest\'s QMP monitor, PATH or HOST:PORT'
complete -c onpanic -n '__onpanic_command why' -l domain -x -d 'the guest\'s libvirt domain: name, UUID or id'
complete -c onpanic -n '__onpanic_command why' -l connect -x -d 'libvirt connection for --domain'
complete -c onpanic -n '__onpanic_command why' -l timeout -x -d 'how long all answers may take (default: 10)'
complete -c onpanic -n '__onpanic_command why' -l lines -x -d 'how many lines of the guest\'s log to show, from its end (default: 20)'
complete -c onpanic -n '__onpanic_command why' -l all -d 'show all lines of the guest\'s log'
complete -c onpanic -n '__onpanic_command why' -l search -d 'search the guest\'s whole memory if there is no faster way'
complete -c onpanic -n '__onpanic_command why' -l check -d 'tell whether a panic of a running guest would be reported, and could be read'
complete -c onpanic -n '__onpanic_command why' -l format -x -a 'text json' -d 'form of the output (default: text)'
complete -c onpanic -n '__onpanic_command why' -F

# onpanic resume
complete -c onpanic -n '__onpanic_command resume' -s h -l help -d 'show this help message and exit'
complete -c onpanic -n '__onpanic_command resume' -l qmp -r -F -d 'the guest\'s QMP monitor, PATH or HOST:PORT'
complete -c onpanic -n '__onpanic_command resume' -l domain -x -d 'the guest\'s libvirt domain: name, UUID or id'
complete -c onpanic -n '__onpanic_command resume' -l connect -x -d 'libvirt connection for --domain'
complete -c onpanic -n '__onpanic_command resume' -l timeout -x -d 'how long all answers may take (default: 10)'
complete -c onpanic -n '__onpanic_command resume' -l allow-reset -d 'reset the guest if nothing else helps'
complete -c onpanic -n '__onpanic_command resume' -l format -x -a 'text json' -d 'form of the output (default: text)'
complete -c onpanic -n '__onpanic_command resume' -s q -l quiet -d 'print nothing on success'

# onpanic run
complete -c onpanic -n '__onpanic_command run' -s h -l help -d 'show this help message and exit'
complete -c onpanic -n '__onpanic_command run' -l lines -x -d 'how many lines of the guest\'s log to show, from its end (default: 40)'
complete -c onpanic -n '__onpanic_command run' -l timeout -x -d 'end the guest after SECONDS (default: never)'
complete -c onpanic -n '__onpanic_command run' -l look -x -d 'look for a panic in the guest\'s log every SECONDS, which stops it for a moment; for guests without a notifier\'s driver (default: never)'
complete -c onpanic -n '__onpanic_command run' -l dump -r -F -d 'write the guest\'s memory to FILE if it panicked, as ELF'
complete -c onpanic -n '__onpanic_command run' -l report -r -F -d 'write the result to FILE, as JSON'
complete -c onpanic -n '__onpanic_command run' -l resets -x -d 'end a guest that resets itself N times, within 10 s each; 0: never (default: 20)'
complete -c onpanic -n '__onpanic_command run' -l no-notifier -d 'do not add a panic notifier'
complete -c onpanic -n '__onpanic_command run' -l no-vmcoreinfo -d 'do not add the device vmcoreinfo'
complete -c onpanic -n '__onpanic_command run' -l keep -d 'do not end QEMU after a panic: the guest stays stopped, e.g. for a debugger'

# onpanic watch
complete -c onpanic -n '__onpanic_command watch' -s h -l help -d 'show this help message and exit'
complete -c onpanic -n '__onpanic_command watch' -l config -r -F -d 'read settings from FILE (TOML), again on SIGHUP'
complete -c onpanic -n '__onpanic_command watch' -l once -d 'do what is due now, and exit'
complete -c onpanic -n '__onpanic_command watch' -l dry-run -d 'only print what would be done'
complete -c onpanic -n '__onpanic_command watch' -l state-dir -x -a '(__fish_complete_directories)' -d 'keep the journal in DIR'
complete -c onpanic -n '__onpanic_command watch' -l log-format -x -a 'text json' -d 'form of the log (default: text)'
complete -c onpanic -n '__onpanic_command watch' -l metrics-file -r -F -d 'write metrics for node_exporter to FILE.prom'
complete -c onpanic -n '__onpanic_command watch' -l metrics-listen -x -d 'serve metrics for Prometheus over HTTP'
complete -c onpanic -n '__onpanic_command watch' -l connect -x -d 'libvirt connection (default: libvirt\'s own)'
complete -c onpanic -n '__onpanic_command watch' -l qmp -r -F -d 'monitors: PATH or HOST:PORT'
complete -c onpanic -n '__onpanic_command watch' -l on-panic -x -a 'default crash ignore restart destroy preserve rename-restart pause' -d 'with --qmp: default crash ignore restart destroy preserve rename-restart pause'
complete -c onpanic -n '__onpanic_command watch' -l coredump -d 'dump memory before --on-panic'
complete -c onpanic -n '__onpanic_command watch' -l on-crash -x -a 'destroy restart preserve rename-restart' -d 'with --qmp: destroy restart preserve rename-restart'
complete -c onpanic -n '__onpanic_command watch' -l on-crash-coredump -d 'dump memory before --on-crash'
complete -c onpanic -n '__onpanic_command watch' -l dump-dir -x -a '(__fish_complete_directories)' -d 'write dumps to DIR on the guests\' host (default: libvirt\'s own directory)'
complete -c onpanic -n '__onpanic_command watch' -l dump-format -x -a 'elf kdump-zlib kdump-lzo kdump-snappy kdump-raw-zlib kdump-raw-lzo kdump-raw-snappy win-dmp' -d 'formats of dumps: the first that is offered and works (default: elf)'
complete -c onpanic -n '__onpanic_command watch' -l dump-paging -d 'dump the guest\'s virtual addresses, too (for elf, with --qmp)'
complete -c onpanic -n '__onpanic_command watch' -l dump-quota -x -d 'limit all dumps to SIZE; the oldest are removed (default: 0: no limit)'
complete -c onpanic -n '__onpanic_command watch' -l dump-reserve -x -d 'refuse a dump that could leave less than SIZE free (default: 0: never)'
complete -c onpanic -n '__onpanic_command watch' -l dump-timeout -x -d 'give up a dump after that time (default: 3600)'
complete -c onpanic -n '__onpanic_command watch' -l dumps -x -d 'make up to N dumps at the same time (default: 2)'
complete -c onpanic -n '__onpanic_command watch' -l progress -x -d 'log the progress of a dump at this interval (default: 10)'
complete -c onpanic -n '__onpanic_command watch' -l start-limit -x -d 'restart a guest up to N times within the interval (default: 5; 0: no limit)'
complete -c onpanic -n '__onpanic_command watch' -l start-interval -x -d 'length of the interval for start-limit (default: 300)'
complete -c onpanic -n '__onpanic_command watch' -l grace -x -d 'let a guest help itself before it is restarted or destroyed (default: 0)'
complete -c onpanic -n '__onpanic_command watch' -l why-timeout -x -d 'read why a guest panicked for up to that time (default: 2; 0: not at all)'
complete -c onpanic -n '__onpanic_command watch' -l hook -r -F -d 'run COMMAND for each event and action; its environment describes them'
complete -c onpanic -n '__onpanic_command watch' -l hook-timeout -x -d 'kill the hook after that time (default: 30)'
complete -c onpanic -n '__onpanic_command watch' -l start -r -F -d 'start a guest without libvirt again with COMMAND, for rename-restart'

# onpanic host
complete -c onpanic -n '__onpanic_command host' -s h -l help -d 'show this help message and exit'
complete -c onpanic -n '__onpanic_command host' -l machine -x -d 'also ask about this machine type or alias, if an emulator has it; repeatable (default: the default one, and what pc, q35, virt, pseries and s390-ccw-virtio stand for)'
complete -c onpanic -n '__onpanic_command host' -l all-machines -d 'ask about every machine type of every emulator'
complete -c onpanic -n '__onpanic_command host' -l connect -x -d 'libvirt connection (default: $LIBVIRT_DEFAULT_URI, or qemu:///system; in a dom0 xen:///system)'
complete -c onpanic -n '__onpanic_command host' -l no-libvirt -d 'do not ask libvirt: record what the emulators alone can do'
complete -c onpanic -n '__onpanic_command host' -l timeout -x -d 'how long one machine type of one emulator may take (default: 10)'
complete -c onpanic -n '__onpanic_command host' -l jobs -x -d 'how many emulators run at a time (default: one more than there are CPUs)'
complete -c onpanic -n '__onpanic_command host' -l format -x -a 'text json nfd prometheus' -d 'json: the record, in one line; nfd: a feature file of node-feature-discovery; prometheus: metrics for node_exporter\'s textfile collector'
complete -c onpanic -n '__onpanic_command host' -s o -l output -r -F -d 'write to a file, whole or not at all'
complete -c onpanic -n '__onpanic_command host' -l name -x -d 'the host\'s name in the record (default: its own name)'
complete -c onpanic -n '__onpanic_command host' -l evidence -d 'json: keep excerpts of what emulators said'
complete -c onpanic -n '__onpanic_command host' -l expiry -x -d 'nfd: how long the labels are valid (default: 24)'
complete -c onpanic -n '__onpanic_command host' -l namespace -x -d 'nfd: the labels\' namespace (default: NFD\'s own, feature.node.kubernetes.io)'

# onpanic matrix collect
complete -c onpanic -n '__onpanic_command matrix collect' -s h -l help -d 'show this help message and exit'
complete -c onpanic -n '__onpanic_command matrix collect' -s o -l output -x -a '(__fish_complete_directories)' -d 'the folder of records'
complete -c onpanic -n '__onpanic_command matrix collect' -l format -x -a 'text json' -d 'json: one outcome per line'
complete -c onpanic -n '__onpanic_command matrix collect' -s q -l quiet -d 'print nothing on success'
complete -c onpanic -n '__onpanic_command matrix collect' -l debian -x -a 'bullseye bookworm trixie sid' -d 'all QEMU emulators of Debian suites (bullseye, bookworm, trixie, sid); installs nothing'
complete -c onpanic -n '__onpanic_command matrix collect' -l suites -x -a '(__fish_complete_directories)' -d 'where suites are unpacked (default: in your cache)'
complete -c onpanic -n '__onpanic_command matrix collect' -l libvirt -x -d 'the libvirt of this connection, on this host; repeatable.  About 25 guests of 16 MiB without a disk (on Xen, of up to 32 MiB) are started there, panic, and are removed again; other domains are left alone'
complete -c onpanic -n '__onpanic_command matrix collect' -l debian-libvirts -x -a 'bullseye bookworm trixie sid' -d 'the libvirts of Debian suites, each with the suite\'s QEMU; installs nothing'
complete -c onpanic -n '__onpanic_command matrix collect' -l recordings -r -F -d 'recordings, or folders of them'
complete -c onpanic -n '__onpanic_command matrix collect' -l records -r -F -d 'records that onpanic probe --format json wrote, or folders of them; to a record in DIR of the same build, only the answers of --acpi are added'
complete -c onpanic -n '__onpanic_command matrix collect' -l libvirt-replies -r -F -d 'QMP replies recorded by libvirt\'s tests: files, a folder, or a checkout of libvirt'
complete -c onpanic -n '__onpanic_command matrix collect' -l acpi -d 'also boot the firmware and read the guest\'s ACPI tables'
complete -c onpanic -n '__onpanic_command matrix collect' -l again -d 'also ask emulators that have not changed'
complete -c onpanic -n '__onpanic_command matrix collect' -l timeout -x -d 'how long one machine type of one emulator may take (default: 10)'
complete -c onpanic -n '__onpanic_command matrix collect' -l jobs -x -d 'how many emulators run at a time (default: one more than there are CPUs)'
complete -c onpanic -n '__onpanic_command matrix collect' -a '(__onpanic_emulators)'

# onpanic matrix build
complete -c onpanic -n '__onpanic_command matrix build' -s h -l help -d 'show this help message and exit'
complete -c onpanic -n '__onpanic_command matrix build' -s o -l output -x -a '(__fish_complete_directories)' -d 'the folder for the three files'
complete -c onpanic -n '__onpanic_command matrix build' -s q -l quiet -d 'print nothing on success'
complete -c onpanic -n '__onpanic_command matrix build' -a '(__fish_complete_directories)'

# onpanic matrix show
complete -c onpanic -n '__onpanic_command matrix show' -s h -l help -d 'show this help message and exit'
complete -c onpanic -n '__onpanic_command matrix show' -l arch -x -d 'only this architecture, such as x86_64'
complete -c onpanic -n '__onpanic_command matrix show' -l build -x -d 'only builds with this in name, version or package'
complete -c onpanic -n '__onpanic_command matrix show' -l machine -x -d 'machine type or alias'
complete -c onpanic -n '__onpanic_command matrix show' -l notifier -x -a 'isa pvpanic hyperv pseries s390' -d 'the panic notifier to show (default: the best one that works)'
complete -c onpanic -n '__onpanic_command matrix show' -l libvirts -d 'show what libvirts accept, and what panics end in'
complete -c onpanic -n '__onpanic_command matrix show' -l all -d 'also builds with the same answers'
complete -c onpanic -n '__onpanic_command matrix show' -l format -x -a 'text json' -d 'json: the whole matrix, as in matrix.json'
complete -c onpanic -n '__onpanic_command matrix show' -F

# onpanic matrix diff
complete -c onpanic -n '__onpanic_command matrix diff' -s h -l help -d 'show this help message and exit'
complete -c onpanic -n '__onpanic_command matrix diff' -l records -x -a '(__fish_complete_directories)' -d 'the folder of records A and B'
complete -c onpanic -n '__onpanic_command matrix diff' -l notifier -x -a 'isa pvpanic hyperv pseries s390' -d 'compare this panic notifier of each machine type (default: the best one that works)'
complete -c onpanic -n '__onpanic_command matrix diff' -l format -x -a 'text json' -d 'json: one change per line'
complete -c onpanic -n '__onpanic_command matrix diff' -s q -l quiet -d 'print nothing, only return the exit status'
complete -c onpanic -n '__onpanic_command matrix diff' -F
complete -c onpanic -n '__onpanic_command matrix diff' -F

# onpanic fleet verdict
complete -c onpanic -n '__onpanic_command fleet verdict' -s h -l help -d 'show this help message and exit'
complete -c onpanic -n '__onpanic_command fleet verdict' -l expected -r -F -d 'names of hosts, one per line: a host without a record counts as one that did not answer'
complete -c onpanic -n '__onpanic_command fleet verdict' -l max-age -x -d 'note records that are older, such as 12h or 7d'
complete -c onpanic -n '__onpanic_command fleet verdict' -l arch -x -d 'libvirt\'s name of an architecture; repeatable (default: those of the hosts)'
complete -c onpanic -n '__onpanic_command fleet verdict' -l machine -x -d 'a machine type or alias; repeatable (default: the default one of each emulator, pc, q35, virt, pseries and s390-ccw-virtio, and xenpv, xenpvh and xenfv on Xen hosts)'
complete -c onpanic -n '__onpanic_command fleet verdict' -l all -d 'show all architectures, machine types, reasons and names'
complete -c onpanic -n '__onpanic_command fleet verdict' -l format -x -a 'text json' -d 'form of the output (default: text)'
complete -c onpanic -n '__onpanic_command fleet verdict' -s q -l quiet -d 'print nothing, only return the exit status'
complete -c onpanic -n '__onpanic_command fleet verdict' -l policy -x -a 'default crash ignore restart destroy preserve rename-restart pause' -d 'the <on_panic> value: default, crash, ignore, restart, destroy, preserve, rename-restart, pause'
complete -c onpanic -n '__onpanic_command fleet verdict' -l coredump -d 'with a dump of the guest\'s memory first'
complete -c onpanic -n '__onpanic_command fleet verdict' -l on-crash -x -a 'destroy restart preserve rename-restart' -d 'the <on_crash> value beside it'
complete -c onpanic -n '__onpanic_command fleet verdict' -l on-crash-coredump -d 'with a dump first on a crash as well'
complete -c onpanic -n '__onpanic_command fleet verdict' -l grace -x -d 'let the guest help itself for so long first'
complete -c onpanic -n '__onpanic_command fleet verdict' -l answered-only -d 'judge only the hosts that are counted'
complete -c onpanic -n '__onpanic_command fleet verdict' -F

# onpanic fleet migrate
complete -c onpanic -n '__onpanic_command fleet migrate' -s h -l help -d 'show this help message and exit'
complete -c onpanic -n '__onpanic_command fleet migrate' -l expected -r -F -d 'names of hosts, one per line: a host without a record counts as one that did not answer'
complete -c onpanic -n '__onpanic_command fleet migrate' -l max-age -x -d 'note records that are older, such as 12h or 7d'
complete -c onpanic -n '__onpanic_command fleet migrate' -l document -x -d 'which domain, if the file has several: virt-install --print-xml prints two'
complete -c onpanic -n '__onpanic_command fleet migrate' -l from -x -d 'ask only about a guest of this host'
complete -c onpanic -n '__onpanic_command fleet migrate' -l to -x -d 'and its migration to this one'
complete -c onpanic -n '__onpanic_command fleet migrate' -l answered-only -d 'judge only the hosts that are counted'
complete -c onpanic -n '__onpanic_command fleet migrate' -l all -d 'name all hosts, and all classes'
complete -c onpanic -n '__onpanic_command fleet migrate' -l format -x -a 'text json' -d 'form of the output (default: text)'
complete -c onpanic -n '__onpanic_command fleet migrate' -s q -l quiet -d 'print nothing, only return the exit status'
complete -c onpanic -n '__onpanic_command fleet migrate' -l domain -r -F -d 'its domain, as virsh dumpxml prints it'
complete -c onpanic -n '__onpanic_command fleet migrate' -l policy -x -a 'default crash ignore restart destroy preserve rename-restart pause' -d 'its <on_panic> value'
complete -c onpanic -n '__onpanic_command fleet migrate' -l coredump -d 'with a dump of the guest\'s memory first'
complete -c onpanic -n '__onpanic_command fleet migrate' -l on-crash -x -a 'destroy restart preserve rename-restart' -d 'the <on_crash> value beside it'
complete -c onpanic -n '__onpanic_command fleet migrate' -l on-crash-coredump -d 'with a dump first on a crash as well'
complete -c onpanic -n '__onpanic_command fleet migrate' -l grace -x -d 'let the guest help itself for so long first'
complete -c onpanic -n '__onpanic_command fleet migrate' -l machine -x -d 'its machine type; an alias if it stands for the same one on all hosts'
complete -c onpanic -n '__onpanic_command fleet migrate' -l arch -x -d 'libvirt\'s name of its architecture (default: the hosts\' own)'
complete -c onpanic -n '__onpanic_command fleet migrate' -F

# onpanic fleet diff
complete -c onpanic -n '__onpanic_command fleet diff' -s h -l help -d 'show this help message and exit'
complete -c onpanic -n '__onpanic_command fleet diff' -l all -d 'name all hosts, machine types and documents'
complete -c onpanic -n '__onpanic_command fleet diff' -l format -x -a 'text json' -d 'json: one document'
complete -c onpanic -n '__onpanic_command fleet diff' -s q -l quiet -d 'print nothing, only return the exit status'
complete -c onpanic -n '__onpanic_command fleet diff' -F
complete -c onpanic -n '__onpanic_command fleet diff' -F

# onpanic explain
complete -c onpanic -n '__onpanic_command explain' -s h -l help -d 'show this help message and exit'
complete -c onpanic -n '__onpanic_command explain' -l format -x -a 'text json' -d 'form of the output (default: text)'
complete -c onpanic -n '__onpanic_command explain' -a 'unknown-value unknown-on-crash coredump-needs-action toolstack-inconclusive crash-needs-xen invalid-grace grace-needs-action builtin-panic-device panic-device-missing panic-not-reported panic-does-not-stop-guest panic-ends-emulator cont-refused-after-panic probe-inconclusive hypervisor-reports-no-panic record-of-another-target no-isa-notifier libvirt-too-old no-such-panic-model panic-model-without-device no-default-panic-model panic-model-twice panic-address-refused lifecycle-action-refused coredump-of-confidential-guest notifier-needs-kvm guest-did-not-panic guest-needs-reset no-way-back reset-ends-guest no-emulator no-machine-type machine-type-not-asked emulator-not-asked xen-only-crash xen-coredump-on-crash xen-guest-type-missing record-of-another-hypervisor crash-action-refused xen-shutdown-is-final xen-guest-paused xen-state-unknown libvirt-not-asked no-libvirt host-not-counted no-emulator-at-path emulator-path-not-asked no-domain-type other-hypervisor on-crash-not-known on-crash-not-asked notifier-differs event-mask-differs notifier-acpi-differs notifier-not-compared translations-differ ignore-needs-global ignore-needs-set-action ignore-needs-set-action-for-checkstops ignore-needs-cont watch-continues watch-restarts watch-destroys watch-waits watch-dumps watch-renames watch-on-crash failed-dump-preserves pause-shows-crashed qemu-does-not-rename restart-ends-guest arguments-decide-panic on-crash-without-notifier guest-needs-acpi device-by-command-line builtin-moved-away on-crash-drifted notifier-drifted hyperv-flag-reports checkstop-reports confidential-guest-reports coredump-is-encrypted vmcoreinfo-off vmcoreinfo-not-added arguments-from-file hyperv-needs-kvm xen-does-not-continue xen-does-not-rename xen-restarts-without-limit xen-failed-dump-ends-guest xen-dump-takes-long xen-preserved-shows-shut-off xen-dump-unchecked xen-no-grace xl-not-asked xen-has-no-panic-device xl-renames-once-a-minute xl-overwrites-dump migration-continues-guest machine-alias-differs guest-sees-difference panic-device-hidden-from-acpi event-mask-differs-for-machine-type panic-action-not-settable machine-type-does-not-start stale-expectation guest-visible-change behaviour-lost machine-type-new machine-type-gone evidence-lost behaviour-gained isa-pvpanic-type pvpanic-type pvpanic-pci-type guest-panicked-event guest-crashloaded-event set-action-command builtin-pvpanic pvpanic-attachable panic-reported panic-action panic-stops-guest cont-after-panic checkstop-reported acpi-exposes-pvpanic vmcoreinfo-attachable on-crash-destroy on-crash-restart on-crash-rename-restart on-crash-preserve on-crash-coredump-destroy on-crash-coredump-restart guest-type-supported'
