/** The contract of engines, and the engine of plain loops. The runtimes are `unetrpp/engine/node` and `unetrpp/engine/web`. */
export {
  type CompileOptions,
  chooseDevice,
  type DeviceName,
  type DeviceReport,
  type Engine,
  type Executable,
  type Feeds,
} from './engine.ts';
export { plainEngine } from './plain.ts';
