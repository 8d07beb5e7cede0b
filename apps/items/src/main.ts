import { runService } from '@gatehouse/service-kit';
import { items } from './app.ts';

runService(items);
