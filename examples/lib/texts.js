// lib/texts.js
const texts = { required: "Bitte ausfüllen.", too_long: "Zu lang.", invalid: "Ungültig." };

// The text to show beside each form field
export const translate = (error) =>
  Object.fromEntries(error.fields.map(({ field, code }) => [field, texts[code] ?? texts.invalid]));
