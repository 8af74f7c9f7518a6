// The build looks for what the world in wit/ exports here.
export { report } from './report.js';
