// Nothing here calls the host, so node can test it.

/** Rows of name, average and unit, with the averages in a column. */
export function table(rows) {
  // A recording that was interrupted early has no run.
  if (rows.length === 0) {
    return 'nothing was measured\n';
  }
  const width = (column) => Math.max(...rows.map((row) => row[column].length));
  const [names, averages] = [width(0), width(1)];
  return rows
    .map(([name, average, unit]) => `${name.padEnd(names)}  ${average.padStart(averages)}  ${unit}\n`)
    .join('');
}

export function average(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
