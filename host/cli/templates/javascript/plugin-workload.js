// The build looks for what the world in wit/ exports here.
export { workload } from './workload.js';
