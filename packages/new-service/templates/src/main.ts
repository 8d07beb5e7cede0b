import { runService } from '@gatehouse/service-kit';
import { stickyNotes } from './app.ts';

runService(stickyNotes);
