import { runService } from '@gatehouse/service-kit';
import { users } from './app.ts';

runService(users);
