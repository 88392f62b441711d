import { useState } from "react";
import { logIn, signUp } from "../lib/api.js";
import { FieldError } from "./field-error.jsx";

export function Login({ attempt, error, onUser }) {
  const [isNew, setNew] = useState(false);

  function submit(event) {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(event.target));
    attempt(async () => onUser(await (isNew ? signUp(fields) : logIn({ ...fields, remember: true }))));
  }

  return (
    <form onSubmit={submit} noValidate>
      {isNew && (
        <label>
          Name <input name="name" autoComplete="name" />
          <FieldError error={error} field="name" />
        </label>
      )}
      <label>
        Email <input name="email" type="email" autoComplete="email" />
        <FieldError error={error} field="email" />
      </label>
      <label>
        Password{" "}
        <input name="password" type="password" autoComplete={isNew ? "new-password" : "current-password"} />
        <FieldError error={error} field="password" />
      </label>
      <button type="submit">{isNew ? "Sign up" : "Log in"}</button>
      <button type="button" onClick={() => setNew(!isNew)}>
        {isNew ? "Log in instead" : "Create an account"}
      </button>
    </form>
  );
}
