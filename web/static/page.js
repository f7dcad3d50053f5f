// Comfort for every page: show the password, close the language menu, and
// say that a button is working. Nothing here is needed.

/** @param {HTMLButtonElement} button */
function reveal(button) {
  const field = document.getElementById(button.getAttribute('aria-controls') ?? '');
  if (!(field instanceof HTMLInputElement)) return;
  const show = (/** @type {boolean} */ on) => {
    field.type = on ? 'text' : 'password';
    button.setAttribute('aria-pressed', String(on));
  };
  button.hidden = false;
  button.addEventListener('click', () => show(field.type === 'password'));
  // A password that is sent as text may be kept by the browser's autofill.
  field.form?.addEventListener('submit', () => show(false));
}

document.querySelectorAll('button.reveal').forEach((b) => reveal(/** @type {HTMLButtonElement} */ (b)));

const menu = document.querySelector('details.lang');
if (menu instanceof HTMLDetailsElement) {
  document.addEventListener('keydown', (e) => {
    if (e.key !== 'Escape' || !menu.open) return;
    menu.open = false;
    menu.querySelector('summary')?.focus();
  });
  document.addEventListener('click', (e) => {
    if (e.target instanceof Node && !menu.contains(e.target)) menu.open = false;
  });
}

/** @type {Map<HTMLElement, string>} */
const working = new Map();
document.addEventListener('submit', (e) => {
  const b = e.submitter;
  if (!(b instanceof HTMLButtonElement) || !b.dataset.busy) return;
  if (working.has(b)) {
    e.preventDefault();
    return;
  }
  working.set(b, b.textContent ?? '');
  b.setAttribute('aria-busy', 'true');
  b.textContent = b.dataset.busy;
});
// A page that the browser kept may belong to a session that is over: ask again.
// Else the back button shows the page as it was left.
window.addEventListener('pageshow', (e) => {
  if (e.persisted) location.reload();
  working.forEach((text, b) => {
    b.textContent = text;
    b.removeAttribute('aria-busy');
  });
  working.clear();
});
