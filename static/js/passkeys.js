// Passkeys: the browser is asked what the site says, and its answer travels in a field of the form.
"use strict";
(() => {
  const token = () => document.querySelector("input[name=csrfmiddlewaretoken]").value;

  async function asked(url) {
    const answer = await fetch(url, { method: "POST", headers: { "X-CSRFToken": token(), Accept: "application/json" } });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.error ? body.error.message : "The site does not answer.");
    return body.publicKey;
  }

  const why = (error) =>
    error.name === "NotAllowedError"
      ? "No passkey was used: it was broken off, or this device has none for this site."
      : error.name === "InvalidStateError"
        ? "This device has a passkey of yours already."
        : error.message;

  async function answer(button, form) {
    if (!window.PublicKeyCredential || !PublicKeyCredential.parseCreationOptionsFromJSON) {
      throw new Error("This browser knows no passkeys.");
    }
    if (button.dataset.passkeyMake) {
      if (!form.reportValidity()) return null;
      const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(await asked(button.dataset.passkeyMake));
      return navigator.credentials.create({ publicKey });
    }
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(await asked(button.dataset.passkeyUse));
    return navigator.credentials.get({ publicKey });
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-passkey-use], [data-passkey-make]");
    if (!button) return;
    const form = button.closest("form");
    const problem = form.querySelector("[data-passkey-problem]");
    problem.hidden = true;
    button.disabled = true;
    try {
      const credential = await answer(button, form);
      if (credential) {
        form.elements[button.dataset.passkeyField].value = JSON.stringify(credential.toJSON());
        for (const field of form.querySelectorAll("[required]")) {
          if (field.name !== "name") field.required = false;
        }
        form.submit();
        return;
      }
    } catch (error) {
      problem.textContent = why(error);
      problem.hidden = false;
    }
    button.disabled = false;
  });
})();
