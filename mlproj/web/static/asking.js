// Asking the server for what is shown, and saying so while it does not answer.
const told = document.getElementById("gone");
let leaving = false;

// A page that is left has its questions cut off: that is no fault of the server's.
addEventListener("beforeunload", () => { leaving = true; setTimeout(() => { leaving = false; }, 3000); });

const answers = (yes) => { told.hidden = yes || leaving; };

// The answer, or null where there was none.
export async function ask(address, options) {
  try {
    const answer = await fetch(address, options);
    answers(true);
    return answer;
  } catch {
    answers(false);
    return null;
  }
}

// `look` now and then for as long as the page is open, also after it failed; it ends when `look` says false.
export function keep(look, every) {
  const next = async () => {
    let more;
    try { more = document.hidden ? true : await look(); } catch (error) { console.warn(error); }
    if (more !== false) setTimeout(next, every);
  };
  setTimeout(next, every);
}

document.addEventListener("htmx:sendError", () => answers(false));
