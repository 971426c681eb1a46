"""
The two pages that mailed links lead to, for deployments without a frontend of their own.

A frontend takes over by naming its pages in the settings. Nothing happens by opening a link: mail scanners do that too.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import HTMLResponse

from platform_core.http import Router, page

router = Router(prefix_api=False)

_STYLE: Final = """
main{max-width:26rem}
form{display:grid;gap:1rem;margin-top:1.5rem}label{display:grid;gap:.3rem;font-weight:600}
input{font:inherit;padding:.6rem .7rem;border:1px solid var(--line);border-radius:.5rem;
background:var(--card);color:inherit}
button{font:inherit;font-weight:600;padding:.65rem;border:0;border-radius:.5rem;background:var(--accent);color:var(--card);
cursor:pointer}
button:disabled{opacity:.6;cursor:default}
input:focus-visible,button:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
[role=status]{min-height:1.6em}.bad{color:var(--delete)}.good{color:var(--get)}
"""

_SCRIPT: Final = """
const form = document.querySelector("form"), status = document.querySelector("[role=status]");
const token = new URLSearchParams(location.search).get("token") || "";
history.replaceState(null, "", location.pathname);
const say = (text, kind) => { status.textContent = text; status.className = kind; };
if (!token) { say("This address is incomplete. Please use the whole link of the mail.", "bad"); form.hidden = true; }
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = { token, ...Object.fromEntries(new FormData(form)) }, button = form.querySelector("button");
  button.disabled = true;
  try {
    const answer = await fetch(form.dataset.to, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    if (answer.ok) { say(form.dataset.done, "good"); form.hidden = true; return; }
    const problem = await answer.json().catch(() => ({}));
    const fault = (problem.errors || []).find((error) => error.pointer === "/body/new_password");
    say(fault ? `The password ${fault.message}.` : problem.detail || "That did not work. Please try again.", "bad");
  } catch { say("The server cannot be reached. Please try again.", "bad"); }
  button.disabled = false;
});
"""

_VERIFY: Final = """
<h1>Confirm your e-mail address</h1>
<p role="status" aria-live="polite"></p>
<form data-to="/api/v1/auth/verify-email" data-done="Thank you. Your e-mail address is confirmed.">
<button>Confirm</button>
</form>
<noscript><p class="bad">This page needs JavaScript.</p></noscript>
"""

_RESET: Final = """
<h1>Choose a new password</h1>
<p class="soft">At least 8 characters. A whole sentence is a good password.</p>
<p role="status" aria-live="polite"></p>
<form data-to="/api/v1/auth/password-reset/confirm" data-done="Your new password counts from now on.">
<label>New password
<input type="password" name="new_password" autocomplete="new-password" required minlength="8" maxlength="1024"
 autofocus>
</label>
<button>Set password</button>
</form>
<noscript><p class="bad">This page needs JavaScript.</p></noscript>
"""


@router.get("/verify-email", public=True, include_in_schema=False, summary="Page behind the link of a mail")
async def verify_email() -> HTMLResponse:
    return page("Confirm your e-mail address", _VERIFY, style=_STYLE, script=_SCRIPT)


@router.get("/reset-password", public=True, include_in_schema=False, summary="Page behind the link of a mail")
async def reset_password() -> HTMLResponse:
    return page("Choose a new password", _RESET, style=_STYLE, script=_SCRIPT)
