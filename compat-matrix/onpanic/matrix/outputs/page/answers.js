// A build's answer to a question: a letter, how it is known, and notes.

const LETTERS = { yes: "y", no: "n", unknown: "?" };
const WORDS = { y: "yes", n: "no", "?": "unknown", "–": "not applicable" };
const NONE = "–";
const MAX_NAMES = 4; // machine types that a note names

const nothing = (why) => ({ letter: NONE, how: "", detail: why, evidence: null, note: "" });

/**
 * Return the answer about a machine type, which is ignored for a fact about the emulator.
 *
 * @param machine Null if the build has no such machine type.
 * @param fact A fact's name, or `POLICY` and a policy's name.
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

function stated(index) {
  const { answer, how, detail, evidence } = STATEMENTS[index];
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
 * Return the machine types of a build that have another answer than the letter given.
 *
 * @return A Map from a letter, y or n, to their names.
 */
function othersOf(build, letter, fact) {
  const others = new Map();
  if (letter === NONE || FACT.get(fact)?.scope !== "machine") return others;
  const letters = new Map(); // by profile, as many machine types share one
  for (const machine of build.machines) {
    if (!letters.has(machine.profile)) letters.set(machine.profile, answerOf(build, machine, fact).letter);
    const other = letters.get(machine.profile);
    if (other === letter || (other !== "y" && other !== "n")) continue;
    if (!others.has(other)) others.set(other, []);
    others.get(other).push(machine.name);
  }
  return others;
}

/** Return in words which machine types have another answer; empty if there are none. */
function noteOf(build, letter, fact) {
  const parts = [...othersOf(build, letter, fact)].sort();
  return parts.map(([other, names]) => `${WORDS[other]} on ${listed(names)}`).join("; ");
}

function listed(names) {
  const more = names.length - MAX_NAMES;
  return more <= 1 ? names.join(", ") : `${names.slice(0, MAX_NAMES).join(", ")} and ${more} more`;
}

/** Return why a machine type could not be asked, if the answer is neither yes nor no. */
function problemOf(machine, answer) {
  if (!machine || answer.letter === "y" || answer.letter === "n") return "";
  const profile = PROFILES[machine.profile];
  return profile.problem || (profile.started === false ? "this machine type did not start" : "");
}

/** Return an answer in words, for screen readers. */
function describe(answer, number) {
  const how = answer.how === "coredump" ? "also with coredump" : answer.how;
  return [WORDS[answer.letter], how, number ? `note ${number}` : ""].filter(Boolean).join(", ");
}
