import { describeEngine } from '../../test/engine-contract.ts';
import { plainEngine } from './plain.ts';

describeEngine(plainEngine);
