// What a build answers to a question: a letter, how it is known, and notes.

const LETTERS = { yes: "y", no: "n", unknown: "?" };
const WORDS = { y: "yes", n: "no", "?": "not known", "–": "nothing to ask" };
const NONE = "–";
const SHOWN = 4; // machine types that a note names

const nothing = (why) => ({ letter: NONE, how: "", detail: why, evidence: null, note: "" });

/**
 * Return the answer about a machine type; for an emulator's fact it has no say.
 *
 * @param machine Null if the build has none such.
 * @param fact A fact's name, or a policy's behind `POLICY`.
 */
function answerOf(build, machine, fact) {
  if (Object.hasOwn(build.facts, fact)) return stated(build.facts[fact]);
  if (FACT.get(fact)?.scope === "emulator") return nothing("this was not asked");
  if (!machine) return nothing("this build has no such machine type");
  const profile = PROFILES[machine.profile];
  if (fact.startsWith(POLICY)) return decided(profile, fact.slice(POLICY.length));
  if (profile.started === false || !Object.hasOwn(profile.facts, fact)) {
    return nothing(profile.problem || "this machine type did not start");
  }
  return stated(profile.facts[fact]);
}

function stated(place) {
  const { answer, how, detail, evidence } = STATEMENTS[place];
  return { letter: LETTERS[answer], how: how ?? "", detail: detail ?? "", evidence: evidence ?? null, note: "" };
}

function decided(profile, policy) {
  const accepted = Object.hasOwn(profile.accepted, policy);
  if (!accepted && !Object.hasOwn(profile.refused, policy)) return nothing("this was not decided");
  const how = accepted && profile.accepted[policy] ? "coredump" : "";
  const code = accepted ? "" : profile.refused[policy];
  const detail = accepted ? (how ? "accepted, also with coredump='yes'" : "accepted") : `refused: ${code}`;
  return { letter: accepted ? "y" : "n", how, detail, evidence: null, note: "", code };
}

/**
 * Return which machine types of a build answer otherwise than one of them does.
 *
 * @return A Map from a letter, y or n, to their names.
 */
function othersOf(build, letter, fact) {
  const others = new Map();
  if (letter === NONE || FACT.get(fact)?.scope !== "machine") return others;
  const said = new Map(); // a profile's letter, as many machine types share one
  for (const machine of build.machines) {
    if (!said.has(machine.profile)) said.set(machine.profile, answerOf(build, machine, fact).letter);
    const other = said.get(machine.profile);
    if (other === letter || (other !== "y" && other !== "n")) continue;
    if (!others.has(other)) others.set(other, []);
    others.get(other).push(machine.name);
  }
  return others;
}

/** Say in words which machine types answer otherwise; empty if none does. */
function noteOf(build, letter, fact) {
  const parts = [...othersOf(build, letter, fact)].sort();
  return parts.map(([other, names]) => `${WORDS[other]} on ${listed(names)}`).join("; ");
}

function listed(names) {
  const more = names.length - SHOWN;
  return more <= 1 ? names.join(", ") : `${names.slice(0, SHOWN).join(", ")} and ${more} more`;
}

/** Return what stopped a machine type from being asked, for an answer that is none. */
function problemOf(machine, answer) {
  if (!machine || answer.letter === "y" || answer.letter === "n") return "";
  const profile = PROFILES[machine.profile];
  return profile.problem || (profile.started === false ? "this machine type did not start" : "");
}

/** Say an answer in words, for those who hear it. */
function spoken(answer, number) {
  const how = answer.how === "coredump" ? "also with coredump" : answer.how;
  return [WORDS[answer.letter], how, number ? `note ${number}` : ""].filter(Boolean).join(", ");
}
