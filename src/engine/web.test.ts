import { describeEngine } from '../../test/engine-contract.ts';
import { webEngine } from './web.ts';

describeEngine(webEngine);
