/** Data sets and the plan by which their cases are prepared. */
export { type Channel, type Plan, parsePlan, planFromV1Pickle, planSchema, type V1Surroundings } from './plan.ts';
