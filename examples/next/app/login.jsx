import { useState } from "react";
import { logIn, signUp } from "../lib/api.js";

export function Login({ attempt, onUser }) {
  const [isNew, setNew] = useState(false);

  function submit(event) {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(event.target));
    attempt(async () => onUser(await (isNew ? signUp(fields) : logIn({ ...fields, remember: true }))));
  }

  return (
    <form onSubmit={submit}>
      {isNew && (
        <label>
          Name <input name="name" autoComplete="name" />
        </label>
      )}
      <label>
        Email <input name="email" type="email" autoComplete="email" />
      </label>
      <label>
        Password{" "}
        <input name="password" type="password" autoComplete={isNew ? "new-password" : "current-password"} />
      </label>
      <button type="submit">{isNew ? "Sign up" : "Log in"}</button>
      <button type="button" onClick={() => setNew(!isNew)}>
        {isNew ? "Log in instead" : "Create an account"}
      </button>
    </form>
  );
}
