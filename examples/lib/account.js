// lib/account.js
import { api } from "./api.js";

// Absent fields keep their value: { name }, { preferences: { theme: "dark" } }
export const editProfile = (changes) => api("PATCH", "/me", changes);

// The old address gets an email with a link to undo this
export const changeEmail = (email, currentPassword) => api("PATCH", "/me", { email, currentPassword });

// Ends all other sessions and API tokens; this session continues
export const changePassword = (currentPassword, newPassword) =>
  api("PUT", "/me/password", { currentPassword, newPassword });

// A list of { id, kind, name, createdAt, lastUsedAt, expiresAt, current }
export const listSessions = async () => (await api("GET", "/auth/sessions")).items;
export const endSession = (id) => api("DELETE", `/auth/sessions/${id}`);
export const logOutElsewhere = () => api("POST", "/auth/logout?scope=others");

// Deletes the account with all its movies, immediately and permanently
export const deleteAccount = (password) => api("DELETE", "/me", { password });

// The response is the same whether or not the address has an account
export const forgotPassword = (email) => api("POST", "/auth/password-reset", { email });

// On the page /reset-password?token=... that the email links to; then show the login form
export const resetPassword = (newPassword, query = location.search) =>
  api("POST", "/auth/password-reset/confirm", {
    token: new URLSearchParams(query).get("token"),
    newPassword,
  });

// On the page /revert-email?token=..., behind a button; then say that another email is on its way
export const revertEmail = (query = location.search) =>
  api("POST", "/auth/email-revert", { token: new URLSearchParams(query).get("token") });
