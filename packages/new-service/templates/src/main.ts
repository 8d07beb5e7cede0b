import { runService } from '@gatehouse/service-kit';
import { notes } from './app.ts';

runService(notes);
