// The panel with the evidence of one answer: the conversation, and the command that asks again.

const HOWS = {
  observed: "observed: onpanic caused a panic and saw the result",
  introspected: "introspected: the emulator reported it over QMP",
  recorded: "recorded: read from a recording",
  documented: "documented: specified for the architecture",
};

const MAX_LINKS = 12; // to other machine types

/** Fill the panel; return false if the matrix does not have the cell. */
function fillPanel(state) {
  const { cell } = state;
  if (state.view === "libvirts") return fillLibvirtPanel(state);
  const build = BUILD.get(cell.build);
  const policy = policyOf(cell.fact);
  if (!build || !(isQuestion(cell.fact) || cell.fact === NOTIFIER)) return false;
  const machine = machineOf(build, cell.machine);
  const isAbout = cell.machine || !isOfMachine(cell.fact);
  const answer = isAbout ? answerOf(build, machine, cell.fact, state.notifier) : nothing("this build has no default machine type");
  $("panel-title").replaceChildren(policy ? `<on_panic>${policy}</on_panic>` : cell.fact);
  const about = cell.machine ? machine : null;
  $("panel-body").replaceChildren(
    el("p", { class: "asks" }, policy ? "Is this value accepted?" : asksOf(cell.fact)),
    verdict(answer),
    facts(build, about, state),
    ...(about ? notifiers(about, state) : []),
    ...(policy || cell.fact === NOTIFIER ? [] : evidence(answer, about, build)),
    ...reproduce(build, about, state),
    ...others(state, build, about, answer),
    ...(about ? policies(about, state) : []),
    el("p", { class: "permalink" }, el("a", { href: writeAddress(state) }, "Link to this answer")),
  );
  return true;
}

function verdict(answer) {
  const word = answer.code === undefined ? wordOf(answer.letter) : answer.letter === "y" ? "accepted" : "refused";
  return el(
    "p",
    { class: "verdict" },
    el("b", { class: kindOf(answer.letter) }, word),
    HOWS[answer.how] ? el("span", { class: "how" }, HOWS[answer.how]) : null,
    answer.detail ? el("span", { class: "detail" }, answer.detail) : null,
    answer.code && DATA.reasons[answer.code] ? el("span", { class: "detail" }, DATA.reasons[answer.code]) : null,
  );
}

function facts(build, machine, state) {
  const { cell } = state;
  const list = el("dl");
  const add = (name, ...value) => value.some(Boolean) && list.append(el("dt", null, name), el("dd", null, ...value));
  add("Build", `${build.emulator} ${build.version}`, build.package ? ` (${build.package})` : "");
  add("Line", [build.line, build.era, build.target].filter(Boolean).join(", "));
  if (cell.machine) {
    const extra = machine ? [...aliasesOf(machine), ...(machine.default ? ["default"] : [])].join(", ") : "not in this build";
    add("Machine type", machine?.name ?? cell.machine, extra ? ` (${extra})` : "");
  }
  const profile = machine ? PROFILES[machine.profile] : null;
  if (profile && isOfMachine(cell.fact)) add("Notifier", ...aboutOne(profile, state.notifier));
  if (profile?.builtin) add("Builtin", profile.builtin.type, (profile.builtin.port ?? null) === null ? "" : ` at port 0x${profile.builtin.port.toString(16)}`);
  add("Problem", profile?.problem);
  add("Source", build.source || "an emulator on the host");
  add("Asked", build.at, build.by ? ` by ${build.by}` : "");
  return list;
}

/** Describe the notifier that the answers are about. */
function aboutOne(profile, model) {
  const name = model || profile.notifier;
  const one = name ? notifierOf(profile, name) : null;
  const mask = one?.event_mask ?? null;
  const about = [one?.type && one.type !== name ? `type ${one.type}` : "", model ? "" : "the best one"];
  const details = [...about, mask === null ? "" : `offers event bits 0x${mask.toString(16)}`].filter(Boolean);
  return [name ?? "none works", name && details.length ? ` (${details.join(", ")})` : ""];
}

/** Return the answer of each notifier of a machine type, with links to them. */
function notifiers(machine, state) {
  const { cell } = state;
  const profile = PROFILES[machine.profile];
  const fact = cell.fact === NOTIFIER ? VALUES[0] : cell.fact;
  if (!isOfNotifier(fact) || !(profile.notifiers ?? []).length) return [];
  const item = (index) => {
    const { model } = NOTIFIERS[index];
    const { letter, detail } = answerOf(BUILD.get(cell.build), machine, fact, model);
    const current = model === (state.notifier || profile.notifier);
    const address = writeAddress({ ...state, notifier: model, cell: { ...cell, fact } });
    return [
      el("dt", { "aria-current": current ? "true" : null }, el("a", { href: address }, model)),
      el("dd", null, el("b", { class: kindOf(letter) }, wordOf(letter)), detail ? ` ${detail}` : ""),
    ];
  };
  const best = state.notifier ? el("p", null, el("a", { href: writeAddress({ ...state, notifier: "" }) }, "The best one")) : null;
  const title = `Each notifier of this machine type${fact === cell.fact ? "" : `: is ${policyOf(fact)} accepted?`}`;
  return [el("h3", null, title), el("dl", { class: "notifiers" }, ...profile.notifiers.flatMap(item)), best].filter(Boolean);
}

const ARROWS = { "$": "start", "-": "sent", "<": "came", "=": "end" };

function evidence(answer, machine, build) {
  const lines = answer.evidence === null ? [] : DATA.matrix.evidence[answer.evidence];
  const title = el("h3", null, "Evidence");
  const why = answer.letter === "?" ? "There is no evidence for an unknown answer." : "The record has no evidence for this answer.";
  if (!lines.length) return [title, el("p", { class: "quiet" }, why)];
  const name = (machine ?? machineOf(build, ""))?.name;
  // Only a command line is quoted for a shell
  const named = (line) => line.replaceAll("{machine}", line.startsWith("$") ? quoted(name) : name);
  return [title, evidenceLines(lines.map((line) => (name ? named(line) : line)))];
}

function evidenceLines(lines) {
  return el(
    "pre",
    { class: "evidence", tabindex: 0, "aria-label": "Evidence" },
    ...lines.map((line) => el("span", { class: ARROWS[line[0]] ?? null }, `${line}\n`)),
  );
}

/** Quote a word for a shell; the name of a machine type comes from an emulator. */
function quoted(word) {
  return /^[\w.,+:@%/-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function reproduce(build, machine, { cell, notifier }) {
  const title = el("h3", null, "Ask again");
  if (!build.reproduce) return [title, el("p", { class: "quiet" }, "There is no command that asks again.")];
  const named = machine
    ? build.reproduce.replaceAll("{machine}", quoted(machine.name))
    : build.reproduce.replaceAll(/--machine \{machine\} ?/g, "");
  // A recording needs no option
  const options = [cell.fact === "acpi-exposes-pvpanic" ? "--acpi " : "", notifier && isOfNotifier(cell.fact) ? `--notifier ${notifier} ` : ""];
  const command = named.includes("--recording") ? named : named.replace("onpanic probe ", `onpanic probe ${options.join("")}`);
  const text = el("pre", { class: "command", tabindex: 0, "aria-label": "Command" }, command);
  const status = el("span", { role: "status" });
  const button = el("button", { type: "button", onclick: () => copy(text, status) }, "Copy");
  return [title, el("div", { class: "copy" }, text, button, status)];
}

/** Copy an element's text; if the browser does not allow it, select the text. */
async function copy(element, status) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    status.textContent = "copied";
  } catch {
    getSelection().selectAllChildren(element);
    status.textContent = document.execCommand("copy") ? "copied" : "selected; copy it with the keyboard";
  }
}

/** Return links to machine types of the build with another answer. */
function others(state, build, machine, answer) {
  if (!machine) return [];
  const found = [...othersOf(build, answer.letter, state.cell.fact, state.notifier)].sort();
  if (!found.length) return [];
  const all = { ...state, view: "build", build: build.id, q: "", cell: null };
  const more = (names) => (names.length > MAX_LINKS ? [el("a", { href: writeAddress(all) }, `and ${names.length - MAX_LINKS} more`)] : []);
  const link = (name) => {
    const address = writeAddress({ ...state, cell: { ...state.cell, machine: name } });
    return [el("a", { href: address }, name), " "];
  };
  return [
    el("h3", null, "Other machine types of this build"),
    ...found.map(([letter, names]) => el("p", { class: "others" }, `${wordOf(letter)} on `, ...names.slice(0, MAX_LINKS).flatMap(link), ...more(names))),
  ];
}

/** Return the accepted and refused policies of a machine type. */
function policies(machine, { cell, notifier }) {
  const profile = PROFILES[machine.profile];
  const { accepted, refused } = (notifier && notifierOf(profile, notifier)) || profile;
  const coredump = (value) => (accepted[value] ? [value, el("sup", { title: "also with coredump='yes'" }, "d")] : [value]);
  const item = (value) => el("li", { "aria-current": cell.fact === POLICY + value ? "true" : null }, ...coredump(value));
  const codes = [...new Set(Object.values(refused))];
  const valuesOf = (code) => Object.keys(refused).filter((value) => refused[value] === code).join(", ");
  return [
    el("h3", null, `<on_panic> values on this machine type${notifier ? `, notifier ${notifier}` : ""}`),
    el("p", { class: "policies" }, el("b", { class: "yes" }, "accepted")),
    el("ul", { class: "inline" }, ...Object.keys(accepted).map(item)),
    Object.values(accepted).some(Boolean) ? el("p", { class: "quiet" }, el("sup", null, "d"), " also with coredump='yes'") : null,
    codes.length ? el("p", { class: "policies" }, el("b", { class: "no" }, "refused")) : null,
    codes.length
      ? el("dl", { class: "refused" }, ...codes.map((code) => [
          el("dt", null, valuesOf(code)),
          el("dd", null, el("code", null, code), DATA.reasons[code] ? ` ${DATA.reasons[code]}` : ""),
        ]).flat())
      : null,
  ].filter(Boolean);
}
