import { runService } from '@gatehouse/service-kit';
import { orders } from './app.ts';

runService(orders);
