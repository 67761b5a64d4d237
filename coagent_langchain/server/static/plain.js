// Pages without a list or a session: help, theme and local times only.
import { localTimes, onKeys } from "./page.js";

onKeys(new Map());
localTimes();
