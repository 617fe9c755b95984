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
  const build = BUILD.get(cell.build);
  const fact = FACT.get(cell.fact);
  const policy = cell.fact.startsWith(POLICY) ? cell.fact.slice(POLICY.length) : "";
  if (!build || !(fact || DATA.policies.includes(policy))) return false;
  const machine = machineOf(build, cell.machine);
  const answer = cell.machine || fact?.scope === "emulator" ? answerOf(build, machine, cell.fact) : nothing("this build has no default machine type");
  $("panel-title").replaceChildren(policy ? `<on_panic>${policy}</on_panic>` : cell.fact);
  const about = cell.machine ? machine : null;
  $("panel-body").replaceChildren(
    el("p", { class: "asks" }, fact?.asks ?? "Is this value accepted?"),
    verdict(answer),
    facts(build, about, cell),
    ...evidence(answer, about, build),
    ...reproduce(build, about, cell.fact),
    ...others(state, build, about, answer),
    ...(about ? policies(about, cell) : []),
    el("p", { class: "permalink" }, el("a", { href: writeAddress(state) }, "Link to this answer")),
  );
  return true;
}

function verdict(answer) {
  const word = answer.code === undefined ? WORDS[answer.letter] : answer.letter === "y" ? "accepted" : "refused";
  return el(
    "p",
    { class: "verdict" },
    el("b", { class: KINDS[answer.letter] }, word),
    HOWS[answer.how] ? el("span", { class: "how" }, HOWS[answer.how]) : null,
    answer.detail ? el("span", { class: "detail" }, answer.detail) : null,
    answer.code && DATA.reasons[answer.code] ? el("span", { class: "detail" }, DATA.reasons[answer.code]) : null,
  );
}

function facts(build, machine, cell) {
  const list = el("dl");
  const add = (name, ...value) => value.some(Boolean) && list.append(el("dt", null, name), el("dd", null, ...value));
  add("Build", `${build.emulator} ${build.version}`, build.package ? ` (${build.package})` : "");
  add("Line", [build.line, build.era, build.target].filter(Boolean).join(", "));
  if (cell.machine) {
    const extra = machine ? [...aliasesOf(machine), ...(machine.default ? ["default"] : [])].join(", ") : "not in this build";
    add("Machine type", machine?.name ?? cell.machine, extra ? ` (${extra})` : "");
  }
  const profile = machine ? PROFILES[machine.profile] : null;
  if (profile?.notifier) {
    const mask = profile.event_mask ?? null;
    add("Notifier", profile.notifier, mask === null ? "" : `, offers event bits 0x${mask.toString(16)}`);
  }
  add("Problem", profile?.problem);
  add("Source", build.source || "an emulator on the host");
  add("Asked", build.at, build.by ? ` by ${build.by}` : "");
  return list;
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
  const shownLine = (line) => (name ? named(line) : line);
  return [
    title,
    el(
      "pre",
      { class: "evidence", tabindex: 0, "aria-label": "Evidence" },
      ...lines.map((line) => el("span", { class: ARROWS[line[0]] ?? null }, `${shownLine(line)}\n`)),
    ),
  ];
}

/** Quote a word for a shell; the name of a machine type comes from an emulator. */
function quoted(word) {
  return /^[\w.,+:@%/-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function reproduce(build, machine, fact) {
  const title = el("h3", null, "Ask again");
  if (!build.reproduce) return [title, el("p", { class: "quiet" }, "There is no command that asks again.")];
  const named = machine
    ? build.reproduce.replaceAll("{machine}", quoted(machine.name))
    : build.reproduce.replaceAll(/--machine \{machine\} ?/g, "");
  // A recording needs no option
  const asks = fact === "acpi-exposes-pvpanic" && !named.includes("--recording");
  const command = asks ? named.replace("onpanic probe ", "onpanic probe --acpi ") : named;
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
  if (!machine || state.cell.fact.startsWith(POLICY)) return [];
  const found = [...othersOf(build, answer.letter, state.cell.fact)].sort();
  if (!found.length) return [];
  const all = { ...state, view: "build", build: build.id, q: "", cell: null };
  const more = (names) => (names.length > MAX_LINKS ? [el("a", { href: writeAddress(all) }, `and ${names.length - MAX_LINKS} more`)] : []);
  const link = (name) => {
    const address = writeAddress({ ...state, cell: { ...state.cell, machine: name } });
    return [el("a", { href: address }, name), " "];
  };
  return [
    el("h3", null, "Other machine types of this build"),
    ...found.map(([letter, names]) => el("p", { class: "others" }, `${WORDS[letter]} on `, ...names.slice(0, MAX_LINKS).flatMap(link), ...more(names))),
  ];
}

/** Return the accepted and refused policies of a machine type. */
function policies(machine, cell) {
  const { accepted, refused } = PROFILES[machine.profile];
  const coredump = (value) => (accepted[value] ? [value, el("sup", { title: "also with coredump='yes'" }, "d")] : [value]);
  const item = (value) => el("li", { "aria-current": cell.fact === POLICY + value ? "true" : null }, ...coredump(value));
  const codes = [...new Set(Object.values(refused))];
  const valuesOf = (code) => Object.keys(refused).filter((value) => refused[value] === code).join(", ");
  return [
    el("h3", null, "<on_panic> values on this machine type"),
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
