// The messages of a VALIDATION_ERROR for one form field
export const FieldError = ({ error, field }) => {
  const messages = error?.details?.[field];
  return messages ? <small>{messages.join(" ")}</small> : null;
};
