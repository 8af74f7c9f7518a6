// Nothing here calls the host, so node can test it.

/** The whole number of 1 or more that the text is; undefined when it is none. */
export function positive(text) {
  return /^\s*0*[1-9]\d{0,8}\s*$/.test(text) ? Number(text) : undefined;
}

export function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
